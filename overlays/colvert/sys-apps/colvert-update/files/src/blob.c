#include "blob.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

/* Why everything is mapped: a delta may refer to any byte of the old part and to any byte already
 * written, so decoding it through buffers wants both in memory, and a frame may ask for a window of
 * 2 GiB. Mapped, all of that is page cache, which the kernel writes back and drops as it needs to;
 * what zstd allocates is 100 KiB, whatever the frame says. The price is that a read error of the disk
 * is a signal, so it is caught. This part of the program has one thread. */
struct mapping {
	char *data;
	size_t size;
	const char *name;
};

enum { FRAME, OLD, TARGET, MAPPINGS };

static sigjmp_buf broken;
static char *volatile broken_at;

static void on_bus_error(int number, siginfo_t *info, void *context) {
	(void)number, (void)context;
	broken_at = info->si_addr;
	siglongjmp(broken, 1);
}

static bool map(const struct region *region, int protection, struct mapping *out, struct problem *p) {
	void *data = mmap(NULL, region->size, protection, MAP_SHARED, region->fd, 0);
	if (data == MAP_FAILED)
		return fail(p, "disk", "%s cannot be mapped: %s.", region->name, strerror(errno));
	madvise(data, region->size, MADV_SEQUENTIAL);
	*out = (struct mapping){data, region->size, region->name};
	return true;
}

static void unmap(struct mapping maps[MAPPINGS]) {
	for (int i = 0; i < MAPPINGS; i++)
		if (maps[i].data)
			munmap(maps[i].data, maps[i].size);
}

static bool check_frame(const struct mapping *frame, uint64_t size, struct problem *p) {
	unsigned long long content = ZSTD_getFrameContentSize(frame->data, frame->size);
	if (content == ZSTD_CONTENTSIZE_ERROR || content == ZSTD_CONTENTSIZE_UNKNOWN)
		return fail(p, "format", "%s is no zstd frame that tells its size.", frame->name);
	if (content != size)
		return fail(p, "format", "%s tells %llu bytes where %llu are wanted.", frame->name, content,
		            (unsigned long long)size);
	if (ZSTD_findFrameCompressedSize(frame->data, frame->size) != frame->size)
		return fail(p, "format", "%s is not one whole zstd frame.", frame->name);
	return true;
}

static bool decode(ZSTD_DCtx *context, const struct mapping maps[MAPPINGS], struct problem *p) {
	const struct mapping *frame = &maps[FRAME], *old = &maps[OLD], *target = &maps[TARGET];
	if (!check_frame(frame, target->size, p))
		return false;
	size_t status = old->data ? ZSTD_DCtx_refPrefix(context, old->data, old->size) : 0;
	if (!ZSTD_isError(status))
		status = ZSTD_decompressDCtx(context, target->data, target->size, frame->data, frame->size);
	if (ZSTD_isError(status))
		return fail(p, "format", "%s cannot be decoded: %s.", frame->name, ZSTD_getErrorName(status));
	return status == target->size || fail(p, "format", "%s ends early.", frame->name);
}

static bool bus_error(const struct mapping maps[MAPPINGS], struct problem *p) {
	for (int i = 0; i < MAPPINGS; i++)
		if (maps[i].data && broken_at >= maps[i].data && broken_at < maps[i].data + maps[i].size)
			return fail(p, "disk", "%s has bytes that cannot be read or written.", maps[i].name);
	return fail(p, "disk", "A disk has bytes that cannot be read or written.");
}

static bool decode_guarded(ZSTD_DCtx *context, const struct mapping maps[MAPPINGS], struct problem *p) {
	struct sigaction guard = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO}, before;
	sigaction(SIGBUS, &guard, &before);
	volatile bool good = false;
	if (sigsetjmp(broken, 1) == 0)
		good = decode(context, maps, p);
	else
		bus_error(maps, p);
	sigaction(SIGBUS, &before, NULL);
	return good;
}

/* A mapping beyond the end of a file can be made, and not be read. */
static bool long_enough(const struct region *region, struct problem *p) {
	off_t end = lseek(region->fd, 0, SEEK_END);
	if (end < 0)
		return fail(p, "disk", "%s cannot be read: %s.", region->name, strerror(errno));
	return (uint64_t)end >= region->size || fail(p, "format", "%s is shorter than it should be.", region->name);
}

bool blob_decode(const struct region *frame, const struct region *old, const struct region *target, struct problem *p) {
	struct mapping maps[MAPPINGS] = {0};
	if (!frame->size || !target->size || (old && !old->size))
		return fail(p, "format", "%s has no bytes.", frame->name);
	bool mapped = long_enough(frame, p) && long_enough(target, p) && map(frame, PROT_READ, &maps[FRAME], p) &&
	              map(target, PROT_READ | PROT_WRITE, &maps[TARGET], p);
	if (mapped && old)
		mapped = long_enough(old, p) && map(old, PROT_READ, &maps[OLD], p);
	ZSTD_DCtx *context = mapped ? ZSTD_createDCtx() : NULL;
	if (mapped && !context)
		fail(p, "space", "There is no memory to decode %s.", frame->name);
	bool good = context && decode_guarded(context, maps, p);
	ZSTD_freeDCtx(context);
	unmap(maps);
	return good;
}

static bool digest(EVP_MD_CTX *context, const struct region *region, struct problem *p) {
	enum { STEP = 256 << 10 };
	char *buffer = malloc(STEP);
	uint64_t done = 0;
	bool good = buffer != NULL;
	while (good && done < region->size) {
		uint64_t left = region->size - done;
		ssize_t count = pread(region->fd, buffer, left < STEP ? left : STEP, (off_t)done);
		if (count < 0 && errno == EINTR)
			continue;
		good = count > 0 && EVP_DigestUpdate(context, buffer, (size_t)count) == 1;
		if (good)
			done += (uint64_t)count;
	}
	free(buffer);
	return good || fail(p, "disk", "%s cannot be read at byte %llu.", region->name, (unsigned long long)done);
}

bool blob_sha256(const struct region *region, char out[65], struct problem *p) {
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned size = 0;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool good = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;
	if (!good)
		fail(p, "format", "There is no SHA-256.");
	good = good && digest(context, region, p) && EVP_DigestFinal_ex(context, sum, &size) == 1 && size == 32;
	EVP_MD_CTX_free(context);
	if (good)
		to_hex(sum, size, out);
	return good;
}

bool blob_check(const struct region *written, const char *sha256, struct problem *p) {
	char have[65];
	if (fdatasync(written->fd) < 0)
		return fail(p, "disk", "%s cannot be written: %s.", written->name, strerror(errno));
	/* or the reading would be of the very pages that were written, whatever the disk made of them */
	posix_fadvise(written->fd, 0, 0, POSIX_FADV_DONTNEED);
	if (!blob_sha256(written, have, p))
		return false;
	return strcmp(have, sha256) == 0 || fail(p, "verity", "%s does not hold what the index promises.", written->name);
}
