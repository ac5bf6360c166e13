/* The kernel, asked without libc.
 *
 * The library is linked against no libc, so that it loads beside any. What it asks for itself goes
 * straight to the kernel: that touches no errno, takes no lock, is no cancellation point, and may be
 * done in a signal handler.
 */
#ifndef THROUGHLINE_SYSTEM_H
#define THROUGHLINE_SYSTEM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>

#if defined(__x86_64__) && defined(__LP64__)

static inline long system_call(long number, long a, long b, long c, long d, long e, long f) {
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

#elif defined(__aarch64__) && defined(__LP64__)

static inline long system_call(long number, long a, long b, long c, long d, long e, long f) {
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
}

#else
#error "only 64-bit x86 and ARM are known here"
#endif

#define SYSTEM_CALL(name, a, b, c, d, e, f)                                                                  \
    system_call(SYS_##name, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* Microseconds of the clock that every process of the machine shares. */
static inline uint64_t microseconds(void) {
    struct timespec now = {0, 0};
    SYSTEM_CALL(clock_gettime, CLOCK_MONOTONIC, &now, 0, 0, 0, 0);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static inline uint32_t process_id(void) { return (uint32_t)SYSTEM_CALL(getpid, 0, 0, 0, 0, 0, 0); }

#endif
