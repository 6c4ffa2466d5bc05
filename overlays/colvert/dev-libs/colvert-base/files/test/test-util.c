#include <colvert/util.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <colvert/check.h>

static void blobs(void) {
	AUTO_BLOB blob = {0};
	CHECK(blob_add_text(&blob, "one", 5) && blob.size == 3);
	CHECK(!blob_add_text(&blob, "two", 5) && blob.size == 3);
	CHECK(blob_add_text(&blob, "\r\n", 5));
	CHECK_TEXT(blob.data, "one\r\n");
	blob_trim(&blob);
	CHECK_TEXT(blob.data, "one");
	blob_done(&blob);
	CHECK(!blob.data && blob.size == 0);
	/* over the room that it had, and the NUL is still there */
	for (int i = 0; i < 100; i++)
		CHECK(blob_add(&blob, "0123456789", 10, 1000) && strlen(blob.data) == blob.size);
	CHECK(!blob_add(&blob, "x", 1, 1000));
}

static void texts(void) {
	CHECK(starts_with("abc", "ab") && !starts_with("a", "ab"));
	CHECK(ends_with("abc", "bc") && !ends_with("c", "bc"));
	CHECK(is_alnum('z') && is_alnum('0') && !is_alnum('_') && !is_alnum('\xe4'));
	CHECK(is_hex("0af9", 4) && !is_hex("0af9", 3) && !is_hex("0AF9", 4));
	CHECK(is_printable("a ~", 3) && !is_printable("a\t", 2) && !is_printable("\x7f", 1));
	static const char *const bad[] = {"\xff", "\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80"};
	for (size_t i = 0; i < COUNT(bad); i++)
		CHECK(!utf8_valid(bad[i], strlen(bad[i])));
	CHECK(utf8_valid("\xc3\xa4 \xe2\x82\xac \xf0\x9f\xa6\x86", 11));
	char out[4], hex[5];
	CHECK(copy_text(out, sizeof out, "abc") && !copy_text(out, sizeof out, "abcd"));
	CHECK_TEXT(out, "abc");
	to_hex((const unsigned char *)"\x0a\xf9", 2, hex);
	CHECK_TEXT(hex, "0af9");
}

/* What was asked to be on the disk: the C library's, looked at. */
static int files_synced, directories_synced;
static ino_t last_synced;

int fsync(int fd) {
	struct stat info;
	CHECK(fstat(fd, &info) == 0);
	*(S_ISDIR(info.st_mode) ? &directories_synced : &files_synced) += 1;
	last_synced = info.st_ino;
	return 0;
}

/* A file is as lasting as the names that lead to it. */
static void lasting(int dir) {
	struct stat info;
	files_synced = directories_synced = 0;
	CHECK(make_parents(dir, "lasting/below/file", 0755) == 0 && directories_synced == 2);
	CHECK(fstatat(dir, "lasting", &info, 0) == 0 && last_synced == info.st_ino);
	CHECK(make_parents(dir, "lasting/below/file", 0755) == 0 && directories_synced == 2);
	CHECK(write_file(dir, "lasting/below/file", "x", 1, 0644) == 0 && files_synced == 1 && directories_synced == 3);
	CHECK(fstatat(dir, "lasting/below", &info, 0) == 0 && last_synced == info.st_ino);
	CHECK(write_file(dir, "file", "x", 1, 0644) == 0 && directories_synced == 4);
	CHECK(fstat(dir, &info) == 0 && last_synced == info.st_ino);
}

static void files(int dir) {
	AUTO_BLOB content = {0};
	struct stat info;
	CHECK(write_file(dir, "a/b/file", "x", 1, 0640) == -ENOENT);
	CHECK(make_parents(dir, "a/b/file", 0755) == 0 && make_parents(dir, "a/b/file", 0755) == 0);
	/* what a write that was cut off has left is in nobody's way */
	CHECK(write_file(dir, "a/b/.colvert-test.new", "old", 3, 0600) == 0);
	CHECK(write_file(dir, "a/b/file", "one", 3, 0640) == 0);
	CHECK(fstatat(dir, "a/b/file", &info, 0) == 0 && (info.st_mode & 0777) == 0640);
	CHECK(fstatat(dir, "a/b/.colvert-test.new", &info, 0) < 0 && errno == ENOENT);
	CHECK(append_line(dir, "a/b/file", " line") == 0);
	CHECK(read_file(dir, "a/b/file", 9, &content) == 0);
	CHECK_TEXT(content.data, "one line\n");
	blob_done(&content);
	CHECK(read_file(dir, "a/b/file", 8, &content) == -EFBIG);
	CHECK(read_file(dir, "a/b", 8, &content) == -EINVAL);
	CHECK(symlinkat("file", dir, "a/b/link") == 0 && read_file(dir, "a/b/link", 9, &content) == -ELOOP);
	CHECK(mkfifoat(dir, "a/b/pipe", 0600) == 0 && read_file(dir, "a/b/pipe", 9, &content) == -EINVAL);
}

int main(void) {
	char folder[] = "/tmp/test-util-XXXXXX";
	CHECK(mkdtemp(folder));
	AUTO_FD dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(dir >= 0);
	blobs();
	texts();
	files(dir);
	lasting(dir);
}
