#include "conf.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <colvert/check.h>
#include <colvert/util.h>

#include "settings.h"

static bool get(const char *text, const char *key, char out[64]) {
	return conf_get(text, strlen(text), key, out, 64);
}

static void values(void) {
	static const char *const table[][2] = {
	    {"K=v", "v"},
	    {"K=v\n", "v"},
	    {"  K=v \t\r\n", "v"},
	    {"# K=x\n\nK=v", "v"},
	    {"K=", ""},
	    {"K=\"\"", ""},
	    {"K=\"a b\"", "a b"},
	    {"K='a \"b\" \\ $'", "a \"b\" \\ $"},
	    {"K=\"a\\\"\\$\\\\b\"", "a\"$\\b"},
	    {"K=a\\ b", "a b"},
	    {"K=a=b", "a=b"},
	    {"K=1\nK=2\n", "2"},
	    {"KK=x\nK=v\nAK=y", "v"},
	    {"what is this\nK=v\nK='open\n", "v"},
	    {"K=https://example.org/a~b/%20", "https://example.org/a~b/%20"},
	};
	char out[64];
	for (size_t i = 0; i < COUNT(table); i++) {
		CHECK(get(table[i][0], "K", out));
		CHECK_TEXT(out, table[i][1]);
	}
}

static void refused(void) {
	static const char *const bad[] = {
	    "", "K", "K v", "=v", "K =v", "K=a b", "K=\"a", "K=a\"b", "K='a'b", "K=\"a\" b", "K=$(reboot)", "K=`x`", "K=a;b",
	    "K=\"a\\", "K=a\\", "K-K=v", "\xef\xbb\xbfK=v", "#K=v",
	    "K=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	};
	char out[64];
	for (size_t i = 0; i < COUNT(bad); i++)
		CHECK(!get(bad[i], "K", out));
	CHECK(!conf_get("K=a\0b", 5, "K", out, sizeof out));
	/* what stands behind the end is not read */
	CHECK(conf_get("K=abc", 3, "K", out, sizeof out));
	CHECK_TEXT(out, "a");
}

static void lines(void) {
	struct conf conf;
	static const char text[] = "\n# c\nA=1\nbad\nB=2";
	conf_start(&conf, text, sizeof text - 1);
	CHECK(conf_next(&conf) == CONF_PAIR && conf.line == 3);
	CHECK(conf_next(&conf) == CONF_BAD && conf.line == 4);
	CHECK(conf_next(&conf) == CONF_PAIR && conf.line == 5);
	CHECK_TEXT(conf.value, "2");
	CHECK(conf_next(&conf) == CONF_END && conf_next(&conf) == CONF_END);
}

static void layers(void) {
	char name[] = "/tmp/test-conf.XXXXXX";
	CHECK(mkdtemp(name));
	AUTO_FD dir = open(name, O_RDONLY | O_DIRECTORY);
	struct settings settings;
	struct problem p;
	static const char vendor[] = "SOURCE=/a\nCHANNEL=one\nUNKNOWN=x\nREBOOT=window\nWINDOW_START='Sun 03:00'\nRATE=5\n";
	static const char own[] = "SOURCE=https://example.org\nREBOOT=now\nKEXEC=yes\n";
	CHECK(settings_read(dir, &settings, &p) && !settings.source[0] && settings.reboot == REBOOT_NEVER);
	CHECK_TEXT(settings.channel, "stable");
	CHECK(make_parents(dir, "usr/lib/colvert/x", 0755) == 0 && make_parents(dir, "etc/colvert/x", 0755) == 0);
	CHECK(write_file(dir, "usr/lib/colvert/update.conf", vendor, sizeof vendor - 1, 0644) == 0);
	CHECK(settings_read(dir, &settings, &p) && settings.reboot == REBOOT_WINDOW && settings.rate == 5);
	CHECK_TEXT(settings.window_start, "Sun 03:00");
	CHECK(write_file(dir, "etc/colvert/update.conf", own, sizeof own - 1, 0644) == 0);
	CHECK(settings_read(dir, &settings, &p) && settings.reboot == REBOOT_NOW && settings.kexec);
	CHECK_TEXT(settings.source, "https://example.org");
	CHECK_TEXT(settings.channel, "one");
	CHECK(write_file(dir, "etc/colvert/update.conf", "RATE=x\n", 7, 0644) == 0);
	CHECK(!settings_read(dir, &settings, &p));
	CHECK_TEXT(p.code, "usage");
	unlinkat(dir, "etc/colvert/update.conf", 0);
	unlinkat(dir, "usr/lib/colvert/update.conf", 0);
	static const char *const dirs[] = {"etc/colvert", "etc", "usr/lib/colvert", "usr/lib", "usr"};
	for (size_t i = 0; i < COUNT(dirs); i++)
		CHECK(unlinkat(dir, dirs[i], AT_REMOVEDIR) == 0);
	CHECK(rmdir(name) == 0);
}

int main(void) {
	values();
	refused();
	lines();
	layers();
}
