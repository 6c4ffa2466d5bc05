#include "blob.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "scene.h"

/* A file that loses its bytes once it is mapped: what a disk does whose sectors went bad. */
static int lost = -1;

void *mmap(void *where, size_t size, int protection, int flags, int fd, off_t at) {
	void *data = (void *)syscall(SYS_mmap, where, size, protection, flags, fd, at);
	if (fd >= 0 && fd == lost)
		CHECK(ftruncate(fd, 0) == 0);
	return data;
}

struct trial {
	const struct blob *frame, *old, *want;
	uint64_t size, old_size; /* as told by the index */
	enum { KEEP, LOSE_FRAME, LOSE_OLD, LOSE_TARGET } lose;
};

/* The code of the problem, "" where there was none. */
static const char *decode(struct trial trial) {
	static struct problem p;
	struct blob blank = {calloc(1, trial.want->size), trial.want->size};
	char sum[65];
	AUTO_FD frame = file_of(trial.frame);
	AUTO_FD old = trial.old ? file_of(trial.old) : -1;
	AUTO_FD target = file_of(&blank);
	blob_done(&blank);
	const struct region from = {frame, trial.frame->size, "frame"}, to = {target, trial.size ? trial.size : trial.want->size, "target"};
	const struct region before = {old, trial.old_size ? trial.old_size : trial.old ? trial.old->size : 0, "old"};
	lost = trial.lose == LOSE_FRAME ? frame : trial.lose == LOSE_OLD ? old : trial.lose == LOSE_TARGET ? target : -1;
	p.code = "";
	bool good = blob_decode(&from, trial.old ? &before : NULL, &to, &p);
	lost = -1;
	sha256_of(trial.want, sum);
	good = good && blob_check(&to, sum, &p);
	CHECK(good == !p.code[0]);
	return p.code;
}

static struct blob changed(const struct blob *data, size_t at) {
	struct blob out = {0};
	CHECK(blob_add(&out, data->data, data->size, data->size));
	out.data[at] ^= 0x40;
	return out;
}

static void whole(const struct image *one) {
	AUTO_BLOB frame = frame_make(&one->usr, NULL);
	CHECK_TEXT(decode((struct trial){&frame, NULL, &one->usr}), "");
	/* the index told another size */
	CHECK_TEXT(decode((struct trial){&frame, NULL, &one->usr, .size = one->usr.size - 4096}), "format");
	CHECK_TEXT(decode((struct trial){&frame, NULL, &one->usr, .size = one->usr.size + 4096}), "format");
	/* cut, and longer than one frame */
	struct blob part = {frame.data, frame.size - 1};
	CHECK_TEXT(decode((struct trial){&part, NULL, &one->usr}), "format");
	part.size = 9;
	CHECK_TEXT(decode((struct trial){&part, NULL, &one->usr}), "format");
	AUTO_BLOB twice = {0};
	CHECK(blob_add(&twice, frame.data, frame.size, 3 * frame.size) && blob_add(&twice, frame.data, frame.size, 3 * frame.size));
	CHECK_TEXT(decode((struct trial){&twice, NULL, &one->usr}), "format");
	/* a frame that decoders skip, behind it */
	AUTO_BLOB more = {0};
	CHECK(blob_add(&more, frame.data, frame.size, 2 * frame.size) && blob_add(&more, "\x50\x2a\x4d\x18\0\0\0\0", 8, 2 * frame.size));
	CHECK_TEXT(decode((struct trial){&more, NULL, &one->usr}), "format");
	/* no frame at all */
	CHECK_TEXT(decode((struct trial){&one->usr, NULL, &one->usr}), "format");
	AUTO_BLOB other = changed(&frame, frame.size / 2);
	CHECK(decode((struct trial){&other, NULL, &one->usr})[0]);
}

static void delta(const struct image *one, const struct image *two) {
	AUTO_BLOB frame = frame_make(&two->usr, &one->usr);
	CHECK(frame.size < two->usr.size / 20);
	CHECK_TEXT(decode((struct trial){&frame, &one->usr, &two->usr}), "");
	/* started from something else, from too little, from more than there is */
	AUTO_BLOB other = changed(&one->usr, 300000);
	CHECK_TEXT(decode((struct trial){&frame, &other, &two->usr}), "verity");
	CHECK(decode((struct trial){&frame, &one->usr, &two->usr, .old_size = 4096})[0]);
	CHECK_TEXT(decode((struct trial){&frame, &one->usr, &two->usr, .old_size = one->usr.size + 1}), "format");
	CHECK(decode((struct trial){&frame, NULL, &two->usr})[0]);
	AUTO_BLOB bad = changed(&frame, frame.size - 20);
	CHECK(decode((struct trial){&bad, &one->usr, &two->usr})[0]);
}

static void bad_disks(const struct image *one, const struct image *two) {
	AUTO_BLOB frame = frame_make(&two->usr, &one->usr);
	CHECK_TEXT(decode((struct trial){&frame, &one->usr, &two->usr, .lose = LOSE_FRAME}), "disk");
	CHECK_TEXT(decode((struct trial){&frame, &one->usr, &two->usr, .lose = LOSE_OLD}), "disk");
	CHECK_TEXT(decode((struct trial){&frame, &one->usr, &two->usr, .lose = LOSE_TARGET}), "disk");
	/* and it can be done again */
	CHECK_TEXT(decode((struct trial){&frame, &one->usr, &two->usr}), "");
}

/* Every bit of a frame's header: a size, a window or a dictionary that is a lie does no harm. */
static void lies(const struct image *one) {
	AUTO_BLOB frame = frame_make(&one->usr, NULL);
	for (size_t bit = 0; bit < 8 * 18; bit++) {
		AUTO_BLOB lie = changed(&frame, 0);
		lie.data[0] ^= 0x40;
		lie.data[bit / 8] ^= (char)(1 << bit % 8);
		decode((struct trial){&lie, NULL, &one->usr});
	}
}

/* A frame of 64 MiB with a window as large as it can say, in a process that may not have 32 MiB. */
static void little_memory(void) {
	/* magic number, content size of 4 bytes, a window of 2^31, content size, then blocks of one repeated byte */
	const char head[] = "\x28\xb5\x2f\xfd\x80\xa8\x00\x00\x00\x04";
	AUTO_BLOB frame = {0};
	struct blob want = {calloc(1, 64 * MIB), 64 * MIB};
	CHECK(want.data && blob_add(&frame, head, 10, 1 << 20));
	for (size_t i = 0; i < 512; i++) {
		unsigned block = (unsigned)(i == 511) | 1 << 1 | (128 << 10) << 3;
		const char bytes[4] = {(char)block, (char)(block >> 8), (char)(block >> 16), 0};
		CHECK(blob_add(&frame, bytes, 4, 1 << 20));
	}
	AUTO_FD fd = file_of(&frame);
	AUTO_FD target = file_of(&want);
	char sum[65], have[65];
	struct problem p = {0};
	sha256_of(&want, sum);
	blob_done(&want);
	struct rlimit before, limit;
	CHECK(getrlimit(RLIMIT_DATA, &before) == 0);
	limit = before;
	limit.rlim_cur = 8 * MIB;
	CHECK(setrlimit(RLIMIT_DATA, &limit) == 0);
	const struct region from = {fd, frame.size, "frame"}, to = {target, 64 * MIB, "target"};
	bool good = blob_decode(&from, NULL, &to, &p) && blob_check(&to, sum, &p);
	CHECK(setrlimit(RLIMIT_DATA, &before) == 0);
	CHECK(good && blob_sha256(&to, have, &p) && strcmp(have, sum) == 0);
}

int main(void) {
	struct image one, two;
	image_make(&one, "1", 11);
	image_make(&two, "2", 22);
	whole(&one);
	delta(&one, &two);
	bad_disks(&one, &two);
	lies(&one);
	little_memory();
	image_done(&one);
	image_done(&two);
}
