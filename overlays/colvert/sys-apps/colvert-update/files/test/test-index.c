#include <colvert/check.h>

#include "index.h"
#include "indexes.h"

static struct problem p;

static bool parse(const char *data, size_t size) {
	AUTO(struct release, release_done) release;
	bool good = index_parse(data, size, &release, &p);
	if (!good)
		CHECK_TEXT(p.code, "format");
	/* whole or empty */
	CHECK(good == (release.version[0] != '\0') && good == (release.parts[PART_UKI].count == 1));
	return good;
}

static void good(void) {
	AUTO(struct release, release_done) release;
	CHECK(index_parse(INDEX, sizeof INDEX - 1, &release, &p));
	CHECK_TEXT(release.version, "1.2.3");
	CHECK_TEXT(release.image_id, "colvert");
	CHECK_TEXT(release.channel, "stable");
	CHECK_TEXT(release.root_hash, HEX_A);
	CHECK(release.expires == 1800000000 && release.parts[PART_USR].count == 2 && release.parts[PART_USR].size == 1000);
	const struct way *delta = &release.parts[PART_USR].ways[1];
	CHECK(delta->delta && delta->from.size == 999 && delta->size == 10 && !release.parts[PART_USR].ways[0].delta);
	CHECK_TEXT(delta->from.version, "1.0");
	CHECK_TEXT(delta->name, HEX_B ".zst");
}

/* The index with the first `old` of it replaced. */
static bool with(const char *old, const char *new) {
	static char text[1 << 16];
	const char *at = strstr(INDEX, old);
	CHECK(at);
	int length = snprintf(text, sizeof text, "%.*s%s%s", (int)(at - INDEX), INDEX, new, at + strlen(old));
	CHECK(length > 0 && (size_t)length < sizeof text);
	return parse(text, (size_t)length);
}

static void unknown(void) {
	CHECK(with("{\"format\"", "{\"new\": [{\"x\": null}], \"format\""));
	CHECK(with("\"usr\":", "\"other\": 7, \"usr\":"));
	CHECK(with("\"from\": null", "\"from\": null, \"how\": \"well\""));
	/* of two members of one name the last one counts; the signature is over both */
	CHECK(with("\"format\": 1", "\"format\": 7, \"format\": 1"));
	CHECK(!with("\"format\": 1", "\"format\": 1, \"format\": 7"));
}

/* A release whose root hash is signed, and what is wrong with that one part. */
static void signature(void) {
	static const char text[] = "{\"format\": 1, " HEAD "\"parts\": {\"signature\": " PART(WHOLE) ", " PARTS_INNER "}}";
	AUTO(struct release, release_done) release;
	CHECK(index_parse(text, sizeof text - 1, &release, &p) && release_has(&release, PART_SIGNATURE));
	CHECK(release.parts[PART_SIGNATURE].size == 1000 && release.parts[PART_SIGNATURE].count == 1);
	release_done(&release);
	CHECK(index_parse(INDEX, sizeof INDEX - 1, &release, &p) && !release_has(&release, PART_SIGNATURE));
	CHECK(!with("\"usr\":", "\"signature\": null, \"usr\":"));
	CHECK(!with("\"usr\":", "\"signature\": {}, \"usr\":"));
	CHECK(!with("\"usr\":", "\"signature\": " PART("") ", \"usr\":"));
	CHECK(!with("\"usr\":", "\"signature\": " PART(WHOLE ", " WHOLE) ", \"usr\":"));
}

static void wrong(void) {
	static const char *const table[][2] = {
	    {"\"format\": 1", "\"format\": 2"},
	    {"\"format\": 1", "\"format\": 0"},
	    {"\"format\": 1", "\"format\": \"1\""},
	    {"\"format\": 1", "\"format\": 1.0"},
	    {"\"format\": 1, ", ""},
	    {"\"colvert\"", "7"},
	    {"\"colvert\"", "\"\""},
	    {"\"colvert\"", "\"col vert\""},
	    {"\"colvert\"", "\"../colvert\""},
	    {"\"colvert\"", "\"colvert\\u0000\""},
	    {"\"colvert\"", "\"\\u001b[2J\""},
	    {"\"colvert\"", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""},
	    {"\"x86_64\"", "[\"x86_64\"]"},
	    {"\"1.2.3\"", "\"1.2.3+3\""},
	    {"\"1.2.3\"", "\"1/../2\""},
	    {"\"1.2.3\"", "null"},
	    {"\"from_at_least\": \"1.0\"", "\"from_at_least\": \"\""},
	    {"1700000000", "-1"},
	    {"1700000000", "1e9"},
	    {"1800000000", "0"},
	    {"1800000000", "99999999999999999999999999"},
	    {"1800000000", "9223372036854775807"},
	    {"1800000000", "true"},
	    {"\"root_hash\": \"a", "\"root_hash\": \"A"},
	    {"\"root_hash\": \"a", "\"root_hash\": \""},
	    {"\"root_hash\": \"a", "\"root_hash\": \"aa"},
	    {"\"root_hash\": \"a", "\"root_hash\": \"g"},
	    {"\"size\": 1000", "\"size\": 0"},
	    {"\"size\": 1000", "\"size\": 1099511627777"},
	    {"\"size\": 1000", "\"size\": 18446744073709551615"},
	    {"\"size\": 1000", "\"size\": \"1000\""},
	    {"\"size\": 100,", "\"size\": -100,"},
	    {"\"name\": \"a", "\"name\": \"b"},
	    {"\"name\": \"a", "\"name\": \"/a"},
	    {"\"name\": \"a", "\"name\": \"../a"},
	    {"\"name\": \"aaaaaaaa", "\"name\": \"../../../"},
	    {"a.zst\"", "a.zst/\""},
	    {"a.zst\"", "a.zs\""},
	    {"a.zst\"", "a.zst\\u0000\""},
	    {"a.zst\"", "a.zst?x\""},
	    {"\"from\": null", "\"from\": 7"},
	    {"\"from\": null", "\"from\": {}"},
	    {", \"from\": null", ""},
	    {"\"version\": \"1.0\"", "\"version\": \"\""},
	    {"\"size\": 999", "\"size\": null"},
	    /* no whole file, two whole files */
	    {WHOLE ", ", ""},
	    {WHOLE, WHOLE ", " WHOLE},
	    {"\"verity\"", "\"verify\""},
	    {"\"uki\": {", "\"uki\": [{"},
	    {"\"files\": [" WHOLE ", " DELTA "]", "\"files\": {}"},
	    {"\"files\": [" WHOLE ", " DELTA "]", "\"files\": [null]"},
	    {"\"files\": [" WHOLE ", " DELTA "]", "\"files\": []"},
	};
	for (size_t i = 0; i < COUNT(table); i++) {
		if (with(table[i][0], table[i][1])) {
			fprintf(stderr, "taken: %s\n", table[i][1]);
			exit(1);
		}
	}
	static const char *const bad[] = {"", " ", "null", "[]", "{}", "7", INDEX "x", INDEX INDEX, "\xff", "{\"format\": 1}"};
	for (size_t i = 0; i < COUNT(bad); i++)
		CHECK(!parse(bad[i], strlen(bad[i])));
	CHECK(!parse(INDEX "\0", sizeof INDEX));
}

static void truncated(void) {
	for (size_t size = 0; size < sizeof INDEX - 1; size++) {
		/* exactly as large as it is, so that a sanitizer sees one byte further */
		char *exact = malloc(size + 1);
		CHECK(exact);
		memcpy(exact, INDEX, size);
		CHECK(!parse(exact, size));
		free(exact);
	}
}

static void huge(void) {
	AUTO_BLOB text = {0};
	static const char begin[] = "{\"format\": 1, " HEAD "\"parts\": {\"usr\": {\"size\": 1, \"sha256\": \"" HEX_A "\", \"files\": [" WHOLE;
	CHECK(blob_add(&text, begin, sizeof begin - 1, 1 << 20));
	for (int i = 0; i < 64; i++)
		CHECK(blob_add(&text, ", " DELTA, sizeof DELTA + 1, 1 << 20));
	static const char end[] = "]}, \"verity\": " PART(WHOLE) ", \"uki\": " PART(WHOLE) "}}";
	CHECK(blob_add(&text, end, sizeof end - 1, 1 << 20));
	CHECK(!parse(text.data, text.size));
	CHECK(strstr(p.text, "64"));
	blob_done(&text);
	while (blob_add(&text, "[[[[[[[[[[[[[[[[", 16, 2 << 20))
		;
	CHECK(!parse(text.data, text.size) && !parse(text.data, 1 << 20));
	memset(text.data, ' ', text.size);
	CHECK(!parse(text.data, text.size));
}

int main(void) {
	good();
	unknown();
	signature();
	wrong();
	truncated();
	huge();
}
