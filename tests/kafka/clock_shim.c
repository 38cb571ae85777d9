/* Shifts the wall clock of a process by so many milliseconds as the file named by CLOCK_SHIFT says at the
   moment. Only the wall clock: monotonic clocks stay, and who waits until a wall time waits as long as it
   would without the shift. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

static long long shift_ms(void) {
    char text[32] = {0};
    const char *name = getenv("CLOCK_SHIFT");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    return length > 0 ? atoll(text) : 0;
}

static void shift(long long *seconds, long *nanos, long long ms) {
    long long total = *nanos + (ms % 1000) * 1000000;
    *seconds += ms / 1000 + (total < 0 ? -1 : total / 1000000000);
    *nanos = total < 0 ? total + 1000000000 : total % 1000000000;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        long long seconds = now->tv_sec;
        shift(&seconds, &now->tv_nsec, shift_ms());
        now->tv_sec = (time_t)seconds;
    }
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec precise;
    int result = clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return result;
}

time_t time(time_t *now) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now) *now = precise.tv_sec;
    return precise.tv_sec;
}

int timespec_get(struct timespec *now, int base) {
    return clock_gettime(CLOCK_REALTIME, now) == 0 ? base : 0;
}

/* What a condition is waited for until, without the shift. */
static struct timespec unshifted(const struct timespec *until) {
    struct timespec plain = *until;
    long long seconds = plain.tv_sec;
    shift(&seconds, &plain.tv_nsec, -shift_ms());
    plain.tv_sec = (time_t)seconds;
    return plain;
}

/* Where there are two versions of a function, dlsym may name the one that no program uses any more. */
static void *newest(const char *name, const char *version) {
    void *found = dlvsym(RTLD_NEXT, name, version);
    return found ? found : dlsym(RTLD_NEXT, name);
}

int pthread_cond_timedwait(
    pthread_cond_t *restrict condition,
    pthread_mutex_t *restrict mutex,
    const struct timespec *restrict until
) {
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (!real)
        real = (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))newest(
            "pthread_cond_timedwait", "GLIBC_2.3.2");
    struct timespec plain = unshifted(until);
    return real(condition, mutex, &plain);
}

int cnd_timedwait(
    cnd_t *restrict condition,
    mtx_t *restrict mutex,
    const struct timespec *restrict until
) {
    static int (*real)(cnd_t *, mtx_t *, const struct timespec *);
    if (!real) real = (int (*)(cnd_t *, mtx_t *, const struct timespec *))dlsym(RTLD_NEXT, "cnd_timedwait");
    struct timespec plain = unshifted(until);
    return real(condition, mutex, &plain);
}
