#include "real.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>

#include "settings.h"
#include "system.h"

/* Weak, for a glibc before 2.34 has `dlsym` in a library of its own, which not every program loads. */
extern void *dlsym(void *, const char *) __attribute__((weak));
extern int *__errno_location(void) __attribute__((weak, const));
extern void abort(void) __attribute__((weak, noreturn));

#define RTLD_NEXT ((void *)-1L)

int *real_errno(void) { return __errno_location ? __errno_location() : NULL; }

/* Where libc's function cannot be found, the kernel's stands in. Only that a blocked call is a point of
 * cancellation is lost then. */
static long result(long value) {
    if (value >= -4095 && value < 0) {
        int *number = real_errno();
        if (number) *number = (int)-value;
        return -1;
    }
    return value;
}

#define CALL(name, a, b, c, d, e, f) result(SYSTEM_CALL(name, a, b, c, d, e, f))

/* The kernel writes what is left of the time into its argument, libc's functions mostly do not. */
static struct timespec copy(const struct timespec *time) { return time ? *time : (struct timespec){0, 0}; }

#define KERNEL_SIGNALS 8

static int kernel_listen(int fd, int backlog) { return (int)CALL(listen, fd, backlog, 0, 0, 0, 0); }
static int kernel_accept(int fd, struct sockaddr *address, socklen_t *length) {
    return (int)CALL(accept4, fd, address, length, 0, 0, 0);
}
static int kernel_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
    return (int)CALL(accept4, fd, address, length, flags, 0, 0);
}
static int kernel_connect(int fd, const struct sockaddr *address, socklen_t length) {
    return (int)CALL(connect, fd, address, length, 0, 0, 0);
}
static int kernel_shutdown(int fd, int how) { return (int)CALL(shutdown, fd, how, 0, 0, 0, 0); }
static int kernel_close(int fd) { return (int)CALL(close, fd, 0, 0, 0, 0, 0); }
static int kernel_close_range(unsigned first, unsigned last, int flags) {
#ifdef SYS_close_range
    return (int)CALL(close_range, first, last, flags, 0, 0, 0);
#else
    return (int)(first + last + (unsigned)flags, result(-ENOSYS));
#endif
}
static void kernel_closefrom(int first) {
    if (kernel_close_range(first < 0 ? 0 : (unsigned)first, ~0u, 0) == 0) return;
    for (int fd = first < 0 ? 0 : first; fd < 65536; fd++) SYSTEM_CALL(close, fd, 0, 0, 0, 0, 0);
}
static int kernel_dup(int fd) { return (int)CALL(dup, fd, 0, 0, 0, 0, 0); }
static int kernel_dup3(int fd, int as, int flags) { return (int)CALL(dup3, fd, as, flags, 0, 0, 0); }
static int kernel_dup2(int fd, int as) {
    if (fd == as) return CALL(fcntl, fd, F_GETFD, 0, 0, 0, 0) < 0 ? -1 : as;
    return kernel_dup3(fd, as, 0);
}
static int kernel_fcntl(int fd, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return (int)CALL(fcntl, fd, command, argument, 0, 0, 0);
}
#define kernel_fcntl64 kernel_fcntl
static ssize_t kernel_read(int fd, void *buffer, size_t size) {
    return CALL(read, fd, buffer, size, 0, 0, 0);
}
static ssize_t kernel_readv(int fd, const struct iovec *parts, int count) {
    return CALL(readv, fd, parts, count, 0, 0, 0);
}
static ssize_t kernel_recvfrom(int fd, void *buffer, size_t size, int flags, struct sockaddr *address,
                               socklen_t *length) {
    return CALL(recvfrom, fd, buffer, size, flags, address, length);
}
static ssize_t kernel_recv(int fd, void *buffer, size_t size, int flags) {
    return kernel_recvfrom(fd, buffer, size, flags, NULL, NULL);
}
static ssize_t kernel_recvmsg(int fd, struct msghdr *message, int flags) {
    return CALL(recvmsg, fd, message, flags, 0, 0, 0);
}
static int kernel_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                           struct timespec *time) {
    return (int)CALL(recvmmsg, fd, messages, count, flags, time, 0);
}
static ssize_t kernel_write(int fd, const void *buffer, size_t size) {
    return CALL(write, fd, buffer, size, 0, 0, 0);
}
static ssize_t kernel_writev(int fd, const struct iovec *parts, int count) {
    return CALL(writev, fd, parts, count, 0, 0, 0);
}
static ssize_t kernel_sendto(int fd, const void *buffer, size_t size, int flags,
                             const struct sockaddr *address, socklen_t length) {
    return CALL(sendto, fd, buffer, size, flags, address, length);
}
static ssize_t kernel_send(int fd, const void *buffer, size_t size, int flags) {
    return kernel_sendto(fd, buffer, size, flags, NULL, 0);
}
static ssize_t kernel_sendmsg(int fd, const struct msghdr *message, int flags) {
    return CALL(sendmsg, fd, message, flags, 0, 0, 0);
}
static int kernel_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags) {
    return (int)CALL(sendmmsg, fd, messages, count, flags, 0, 0);
}
static ssize_t kernel_sendfile(int to, int from, off_t *offset, size_t size) {
    return CALL(sendfile, to, from, offset, size, 0, 0);
}
#define kernel_sendfile64 kernel_sendfile
static ssize_t kernel_splice(int from, off_t *offset, int to, off_t *into, size_t size, unsigned flags) {
    return CALL(splice, from, offset, to, into, size, flags);
}
static int kernel_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *time, const sigset_t *mask) {
    struct timespec left = copy(time);
    return (int)CALL(ppoll, fds, count, time ? &left : NULL, mask, KERNEL_SIGNALS, 0);
}
static int kernel_poll(struct pollfd *fds, nfds_t count, int milliseconds) {
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
    return kernel_ppoll(fds, count, milliseconds < 0 ? NULL : &time, NULL);
}
static int kernel_pselect(int count, fd_set *in, fd_set *out, fd_set *odd, const struct timespec *time,
                          const sigset_t *mask) {
    struct timespec left = copy(time);
    struct {
        const sigset_t *mask;
        size_t size;
    } signals = {mask, KERNEL_SIGNALS};
    return (int)CALL(pselect6, count, in, out, odd, time ? &left : NULL, &signals);
}
static int kernel_select(int count, fd_set *in, fd_set *out, fd_set *odd, struct timeval *time) {
    struct timespec left = {0, 0};
    if (time) left = (struct timespec){time->tv_sec, time->tv_usec * 1000L};
    long ready = CALL(pselect6, count, in, out, odd, time ? &left : NULL, NULL);
    /* This one does write back what is left. */
    if (time) *time = (struct timeval){left.tv_sec, left.tv_nsec / 1000};
    return (int)ready;
}
static int kernel_epoll_ctl(int epoll, int command, int fd, struct epoll_event *event) {
    return (int)CALL(epoll_ctl, epoll, command, fd, event, 0, 0);
}
static int kernel_epoll_pwait(int epoll, struct epoll_event *events, int most, int milliseconds,
                              const sigset_t *mask) {
    return (int)CALL(epoll_pwait, epoll, events, most, milliseconds, mask, KERNEL_SIGNALS);
}
static int kernel_epoll_wait(int epoll, struct epoll_event *events, int most, int milliseconds) {
    return kernel_epoll_pwait(epoll, events, most, milliseconds, NULL);
}
static int kernel_epoll_pwait2(int epoll, struct epoll_event *events, int most, const struct timespec *time,
                               const sigset_t *mask) {
#ifdef SYS_epoll_pwait2
    return (int)CALL(epoll_pwait2, epoll, events, most, time, mask, KERNEL_SIGNALS);
#else
    (void)epoll, (void)events, (void)most, (void)time, (void)mask;
    return (int)result(-ENOSYS);
#endif
}

/* What the checks of libc do when a buffer is too small for what is asked for. */
static void check(size_t wanted, size_t there) {
    if (wanted <= there) return;
    if (abort) abort();
    __builtin_trap();
}
static ssize_t kernel___read_chk(int fd, void *buffer, size_t size, size_t there) {
    check(size, there);
    return kernel_read(fd, buffer, size);
}
static ssize_t kernel___recv_chk(int fd, void *buffer, size_t size, size_t there, int flags) {
    check(size, there);
    return kernel_recv(fd, buffer, size, flags);
}
static ssize_t kernel___recvfrom_chk(int fd, void *buffer, size_t size, size_t there, int flags,
                                     struct sockaddr *address, socklen_t *length) {
    check(size, there);
    return kernel_recvfrom(fd, buffer, size, flags, address, length);
}
static int kernel___poll_chk(struct pollfd *fds, nfds_t count, int milliseconds, size_t there) {
    check(count * sizeof *fds, there);
    return kernel_poll(fds, count, milliseconds);
}
static int kernel___ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *time,
                              const sigset_t *mask, size_t there) {
    check(count * sizeof *fds, there);
    return kernel_ppoll(fds, count, time, mask);
}

static struct real real;
static _Atomic int is_found;

static void find(void) {
#define FIND(name, result, parameters)                                                                       \
    {                                                                                                        \
        result(*found) parameters = dlsym ? (__typeof__(found))dlsym(RTLD_NEXT, #name) : NULL;               \
        real.name##_ = found ? found : kernel_##name;                                                        \
    }
    REAL_FUNCTIONS(FIND)
#undef FIND
    atomic_store_explicit(&is_found, 1, memory_order_release);
}

const struct real *real_functions(void) {
    if (!atomic_load_explicit(&is_found, memory_order_acquire)) find();
    return &real;
}

__attribute__((constructor)) static void start(void) {
    real_functions();
    settings_are_on();
}
