/* VMware's I/O port. VMware lets unprivileged programs use it; without VMware the processor stops
 * whoever touches it. So a child process does, and what it learned comes back in files. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <colvert/say.h>

#include "vmware.h"

enum { CHILD_SECONDS = 20 };

#ifdef __x86_64__
static bool touch_port(struct backdoor *backdoor, struct registers *r) {
	(void)backdoor;
	uint64_t bx = r->bx, si = r->si, di = r->di;
	__asm__ volatile("inl %%dx, %%eax" : "+a"(r->ax), "+b"(bx), "+c"(r->cx), "+d"(r->dx), "+S"(si), "+D"(di) : : "memory");
	r->bx = (uint32_t)bx;
	r->si = (uint32_t)si;
	r->di = (uint32_t)di;
	return true;
}
#else
static bool touch_port(struct backdoor *backdoor, struct registers *r) {
	(void)backdoor, (void)r;
	return false;
}
#endif

/* Without VMware behind it, the port is a fault that would be logged as a crash. */
static void nobody_there(int number) {
	(void)number;
	_exit(OUTCOME_FAILED);
}

/* In the child: ask, and leave the answer in `dir` for the parent. */
static int child(int dir, const char *known) {
	struct backdoor backdoor = {touch_port};
	struct answer answer = {0};
	signal(SIGSEGV, nobody_there);
	alarm(CHILD_SECONDS);
	enum outcome outcome = vmware_ask(&backdoor, known, &answer);
	if (outcome != OUTCOME_DONE)
		return (int)outcome;
	return answer_save(dir, &answer) == 0 ? OUTCOME_DONE : OUTCOME_FAILED;
}

enum outcome vmware_ask_port(const char *known, struct answer *answer) {
	AUTO_FD dir = -1;
	char name[] = "/tmp/colvert-provision.XXXXXX";
	if (!mkdtemp(name) || (dir = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return OUTCOME_FAILED;
	pid_t pid = fork();
	if (pid == 0)
		_exit(child(dir, known));
	int status = 0;
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	bool ended = pid > 0 && WIFEXITED(status);
	enum outcome outcome = ended ? (enum outcome)WEXITSTATUS(status) : OUTCOME_FAILED;
	if (outcome == OUTCOME_FAILED)
		say(LEVEL_WARNING, "VMware's port does not answer.");
	if (outcome == OUTCOME_DONE && answer_load(dir, answer) < 0)
		outcome = OUTCOME_FAILED;
	static const char *const files[] = {"id", "hostname", "keys", "user-data", "vagrant", "complete", "ready"};
	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		unlinkat(dir, files[i], 0);
	rmdir(name);
	return outcome;
}
