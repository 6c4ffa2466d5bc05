#include <errno.h>
#include <unistd.h>

#include <colvert/check.h>
#include <colvert/fd.h>

int main(void) {
	int ends[2];
	char text[8] = "";
	CHECK(pipe(ends) == 0);
	CHECK(write_all(ends[1], "words", 5) == 0);
	CHECK(read(ends[0], text, sizeof text - 1) == 5);
	CHECK_TEXT(text, "words");
	CHECK(write_all(ends[0], "words", 5) == -EBADF);
	int was = ends[1];
	close_done(&ends[1]);
	CHECK(ends[1] == -1 && close(was) < 0 && errno == EBADF);
	/* closing what is closed is nothing */
	close_done(&ends[1]);
	CHECK(ends[1] == -1);
	{
		AUTO_FD other = dup(ends[0]);
		was = other;
	}
	CHECK(close(was) < 0 && errno == EBADF);
	close_done(&ends[0]);
}
