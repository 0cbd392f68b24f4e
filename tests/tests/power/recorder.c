/*
 * Preloaded into a program, writes down every change that it makes below a folder, in the order in which it makes them.
 *
 * POWER_ROOT   the folder
 * POWER_TAPE   the file that the changes are written to
 * POWER_MARKS  a file outside of the folder: what the program writes to it stands on the tape as a mark
 *
 * Every change is made and written down under one lock, so the tape is the order of the changes. What goes past the C library is not seen; the
 * reader of the tape notices, because the folder is another one in the end.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES 65536

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int tape = -1;
static char root[PATH_MAX], marks[PATH_MAX];
/* Of each file descriptor: 0 nothing of ours, else the number of its opening; marks have the greatest one. */
static uint32_t opened[FILES];
static uint32_t openings;
#define MARKS UINT32_MAX

__attribute__((constructor)) static void begin(void) {
    const char *at = getenv("POWER_TAPE"), *under = getenv("POWER_ROOT"), *told = getenv("POWER_MARKS");
    if (!at || !under) return;
    snprintf(root, sizeof root, "%s", under);
    if (told) snprintf(marks, sizeof marks, "%s", told);
    tape = (int)syscall(SYS_openat, AT_FDCWD, at, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* kind, opening, offset, length of the first and of the second text, and both texts. */
static void note(char kind, uint32_t opening, int64_t offset, const void *first, size_t length, const char *second) {
    uint64_t other = second ? strlen(second) : 0, wide = length;
    size_t size = 1 + 4 + 8 + 8 + 8;
    char head[29];
    head[0] = kind;
    memcpy(head + 1, &opening, 4);
    memcpy(head + 5, &offset, 8);
    memcpy(head + 13, &wide, 8);
    memcpy(head + 21, &other, 8);
    struct iovec pieces[3] = {{head, size}, {(void *)first, length}, {(void *)(second ? second : ""), other}};
    int before = errno;
    if (syscall(SYS_writev, tape, pieces, 3) != (long)(size + length + other)) abort();
    errno = before;
}

/* The whole path of a name that is relative to a folder; 0 where it is not below the root. */
static int whole(int folder, const char *name, char *path) {
    if (tape < 0) return 0;
    if (name[0] == '/') {
        snprintf(path, PATH_MAX, "%s", name);
    } else {
        char base[PATH_MAX];
        if (folder == AT_FDCWD) {
            if (!getcwd(base, sizeof base)) return 0;
        } else {
            char link[64];
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
            ssize_t read = readlink(link, base, sizeof base - 1);
            if (read < 0) return 0;
            base[read] = 0;
        }
        if ((size_t)snprintf(path, PATH_MAX, "%s/%s", base, name) >= PATH_MAX) return 0;
    }
    size_t length = strlen(root);
    return strncmp(path, root, length) == 0 && (path[length] == '/' || path[length] == 0);
}

static uint32_t opening_of(int fd) { return fd >= 0 && fd < FILES ? opened[fd] : 0; }

static int open_at(int folder, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    int ours = whole(folder, name, path), marking = tape >= 0 && marks[0] && strcmp(path, marks) == 0;
    if (!ours && !marking) return (int)syscall(SYS_openat, folder, name, flags, mode);
    pthread_mutex_lock(&lock);
    struct stat there;
    int existed = stat(path, &there) == 0;
    int fd = (int)syscall(SYS_openat, folder, name, flags, mode);
    if (fd >= FILES) abort();
    if (fd >= 0 && marking) {
        opened[fd] = MARKS;
    } else if (fd >= 0) {
        opened[fd] = ++openings;
        /* offset: 1 made, 2 emptied */
        int64_t what = existed ? ((flags & O_TRUNC) ? 2 : 0) : 1;
        if ((flags & O_TMPFILE) != O_TMPFILE) note('o', openings, what, path, strlen(path), NULL);
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE(last) mode_t mode = 0; if (flags & (O_CREAT | O_TMPFILE)) { va_list list; va_start(list, last); mode = va_arg(list, mode_t); va_end(list); }
int open(const char *name, int flags, ...) { MODE(flags) return open_at(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE(flags) return open_at(AT_FDCWD, name, flags | O_LARGEFILE, mode); }
int openat(int folder, const char *name, int flags, ...) { MODE(flags) return open_at(folder, name, flags, mode); }
int openat64(int folder, const char *name, int flags, ...) { MODE(flags) return open_at(folder, name, flags | O_LARGEFILE, mode); }
int creat(const char *name, mode_t mode) { return open_at(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int close(int fd) {
    if (fd >= 0 && fd < FILES) opened[fd] = 0;
    return (int)syscall(SYS_close, fd);
}

static int64_t place(int fd) {
    struct stat there;
    if ((fcntl(fd, F_GETFL) & O_APPEND) && fstat(fd, &there) == 0) return there.st_size;
    return lseek(fd, 0, SEEK_CUR);
}

static ssize_t write_at(int fd, const void *bytes, size_t length, int64_t offset) {
    uint32_t opening = opening_of(fd);
    if (!opening)
        return offset < 0 ? syscall(SYS_write, fd, bytes, length) : syscall(SYS_pwrite64, fd, bytes, length, offset);
    pthread_mutex_lock(&lock);
    int64_t at = offset < 0 ? place(fd) : offset;
    ssize_t written = offset < 0 ? syscall(SYS_write, fd, bytes, length) : syscall(SYS_pwrite64, fd, bytes, length, offset);
    if (written > 0) note(opening == MARKS ? 'k' : 'w', opening, at, bytes, (size_t)written, NULL);
    pthread_mutex_unlock(&lock);
    return written;
}

ssize_t write(int fd, const void *bytes, size_t length) { return write_at(fd, bytes, length, -1); }
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) { return write_at(fd, bytes, length, offset); }
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) { return write_at(fd, bytes, length, offset); }

/* A short write is allowed, so the first piece will do. */
ssize_t writev(int fd, const struct iovec *pieces, int count) {
    if (!opening_of(fd)) return syscall(SYS_writev, fd, pieces, count);
    for (int piece = 0; piece < count; piece++)
        if (pieces[piece].iov_len) return write_at(fd, pieces[piece].iov_base, pieces[piece].iov_len, -1);
    return 0;
}

static int cut_to(int fd, off_t length) {
    uint32_t opening = opening_of(fd);
    if (!opening || opening == MARKS) return (int)syscall(SYS_ftruncate, fd, length);
    pthread_mutex_lock(&lock);
    int done = (int)syscall(SYS_ftruncate, fd, length);
    if (done == 0) note('t', opening, length, "", 0, NULL);
    pthread_mutex_unlock(&lock);
    return done;
}
int ftruncate(int fd, off_t length) { return cut_to(fd, length); }
int ftruncate64(int fd, off64_t length) { return cut_to(fd, length); }

static int sync_of(int fd, long call) {
    uint32_t opening = opening_of(fd);
    if (!opening || opening == MARKS) return (int)syscall(call, fd);
    pthread_mutex_lock(&lock);
    /* That the disk really did it is not what is tested. */
    note('s', opening, 0, "", 0, NULL);
    pthread_mutex_unlock(&lock);
    return 0;
}
int fsync(int fd) { return sync_of(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_of(fd, SYS_fdatasync); }

#define NOTED(kind, ours, call, first, second) \
    if (!(ours)) return (int)(call); \
    pthread_mutex_lock(&lock); \
    int done = (int)(call); \
    if (done == 0) note(kind, 0, 0, first, strlen(first), second); \
    pthread_mutex_unlock(&lock); \
    return done;

static int rename_at(int from, const char *name, int to, const char *next, unsigned flags) {
    char before[PATH_MAX], after[PATH_MAX];
    int ours = whole(from, name, before) & whole(to, next, after);
    NOTED('r', ours, syscall(SYS_renameat2, from, name, to, next, flags), before, after)
}
int rename(const char *name, const char *next) { return rename_at(AT_FDCWD, name, AT_FDCWD, next, 0); }
int renameat(int from, const char *name, int to, const char *next) { return rename_at(from, name, to, next, 0); }
int renameat2(int from, const char *name, int to, const char *next, unsigned flags) { return rename_at(from, name, to, next, flags); }

int linkat(int from, const char *name, int to, const char *next, int flags) {
    char before[PATH_MAX], after[PATH_MAX];
    int ours = whole(from, name, before) & whole(to, next, after);
    NOTED('l', ours, syscall(SYS_linkat, from, name, to, next, flags), before, after)
}
int link(const char *name, const char *next) { return linkat(AT_FDCWD, name, AT_FDCWD, next, 0); }

int unlinkat(int folder, const char *name, int flags) {
    char path[PATH_MAX];
    int ours = whole(folder, name, path);
    NOTED('u', ours, syscall(SYS_unlinkat, folder, name, flags), path, NULL)
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }

int mkdirat(int folder, const char *name, mode_t mode) {
    char path[PATH_MAX];
    int ours = whole(folder, name, path);
    NOTED('m', ours, syscall(SYS_mkdirat, folder, name, mode), path, NULL)
}
int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }
