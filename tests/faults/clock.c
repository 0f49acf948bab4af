/* A time of day of one's own, for a process that this library is preloaded into: the machine's, and so many seconds more.

The difference is in a file, which may change at any moment, as when an administrator sets a clock. What counts seconds
(CLOCK_MONOTONIC) goes on untouched, as it does then. Who waits until a time of day, as librdkafka does by cnd_timedwait,
waits until that time by this clock, also when it is set meanwhile. (libfaketime would leave that wait to the machine's clock: it lasts an hour there
when this one is an hour ahead. And it makes Python's time.sleep fail.) */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *difference;

__attribute__((constructor)) static void open_clock(void)
{
    const char *path = getenv("CLOCK_FILE");
    int file = path ? open(path, O_RDONLY) : -1;
    void *found = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *difference, PROT_READ, MAP_SHARED, file, 0);
    if (found == MAP_FAILED)
        abort();
    difference = found;
    close(file);
}

static int64_t seconds(void)
{
    return difference ? *difference : 0;
}

#define REAL(result, name, ...)                                  \
    static result (*real)(__VA_ARGS__);                          \
    if (!real)                                                   \
        real = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

enum { SECOND = 1000 * 1000 * 1000, SLICE = 20 * 1000 * 1000 };

static void machine_time(struct timespec *now)
{
    REAL(int, clock_gettime, clockid_t, struct timespec *);
    real(CLOCK_REALTIME, now);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    REAL(int, clock_gettime, clockid_t, struct timespec *);
    int failed = real(clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += seconds();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    REAL(int, gettimeofday, struct timeval *restrict, void *restrict);
    int failed = real(now, zone);
    if (!failed)
        now->tv_sec += seconds();
    return failed;
}

int timespec_get(struct timespec *now, int base)
{
    REAL(int, timespec_get, struct timespec *, int);
    int known = real(now, base);
    if (known == TIME_UTC)
        now->tv_sec += seconds();
    return known;
}

time_t time(time_t *now)
{
    REAL(time_t, time, time_t *);
    time_t found = real(NULL) + seconds();
    if (now)
        *now = found;
    return found;
}

static int before(const struct timespec *one, const struct timespec *other)
{
    return one->tv_sec < other->tv_sec || (one->tv_sec == other->tv_sec && one->tv_nsec < other->tv_nsec);
}

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until)
{
    REAL(int, cnd_timedwait, cnd_t *restrict, mtx_t *restrict, const struct timespec *restrict);
    for (;;) {
        /* In slices, for the clock may be set meanwhile; the end is judged by this clock alone. */
        struct timespec now, slice, end = *until;
        end.tv_sec -= seconds();
        machine_time(&now);
        if (!before(&now, &end))
            return thrd_timedout;
        slice = now;
        slice.tv_nsec += SLICE;
        slice.tv_sec += slice.tv_nsec / SECOND;
        slice.tv_nsec %= SECOND;
        int found = real(condition, mutex, before(&end, &slice) ? &end : &slice);
        if (found != thrd_timedout)
            return found;
    }
}
