/* The functions of libc that the app calls in place of its own.
 *
 * Each passes on what it was given, unchanged, and returns what comes back, unchanged, with errno. Where
 * a descriptor is none that is known, that is all it does.
 *
 * They have other names here than the program knows them by, for the headers of libc declare some of
 * these in ways that a definition cannot repeat.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>

#include "connections.h"
#include "real.h"
#include "serving.h"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC 4
#endif

#define HOOK(name, result, parameters)                                                                       \
    __attribute__((visibility("default"))) result throughline_##name parameters __asm__(#name);              \
    result throughline_##name parameters

#define REAL(name) (real_functions()->name##_)

/* As much as is needed to know the start of a request, of whatever parts it is made. */
#define START 32

struct start {
    char bytes[START];
    size_t length;
};

static void gather(struct start *start, const struct iovec *parts, size_t count, size_t most) {
    start->length = 0;
    for (size_t i = 0; i < count && start->length < START; i++) {
        const char *from = parts[i].iov_base;
        for (size_t at = 0; at < parts[i].iov_len && start->length < START && start->length < most; at++)
            start->bytes[start->length++] = from[at];
    }
}

static void after_write(int fd, ssize_t count) {
    if (count > 0) serving_wrote(fd);
}

static void before_writev(int fd, const struct iovec *parts, size_t count) {
    struct start start;
    gather(&start, parts, count, START);
    serving_writes(fd, start.bytes, start.length);
}

static bool found_nothing(ssize_t count) {
    int *number = count < 0 ? real_errno() : NULL;
    return number != NULL && (*number == EAGAIN || *number == EWOULDBLOCK);
}

static void after_read(int fd, const void *buffer, ssize_t count, int flags) {
    if (flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE)) return;
    if (count > 0) {
        /* With MSG_TRUNC the bytes are thrown away. */
        size_t seen = flags & MSG_TRUNC ? 0 : (size_t)count;
        serving_read(fd, buffer, seen, (size_t)count, flags & MSG_DONTWAIT);
    } else if (found_nothing(count)) {
        serving_found_nothing(fd);
    }
}

static void after_readv(int fd, const struct iovec *parts, size_t parts_count, ssize_t count, int flags) {
    if (count > 0 && parts_count > 0 && parts[0].iov_len >= (size_t)count) {
        after_read(fd, parts[0].iov_base, count, flags);
        return;
    }
    if (count <= 0) {
        after_read(fd, NULL, count, flags);
        return;
    }
    if (flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE)) return;
    /* A head in several parts is not read to its end: then it is not known how much is to come. */
    struct start start;
    gather(&start, parts, flags & MSG_TRUNC ? 0 : parts_count, (size_t)count);
    serving_read(fd, start.bytes, start.length, (size_t)count, flags & MSG_DONTWAIT);
}

/* --- connections begin and end ------------------------------------------------------------------- */

HOOK(listen, int, (int fd, int backlog)) {
    int result = REAL(listen)(fd, backlog);
    if (result == 0) serving_listens(fd);
    return result;
}

HOOK(accept, int, (int fd, struct sockaddr *address, socklen_t *length)) {
    int result = REAL(accept)(fd, address, length);
    if (result >= 0) serving_accepted(fd, result);
    return result;
}

HOOK(accept4, int, (int fd, struct sockaddr *address, socklen_t *length, int flags)) {
    int result = REAL(accept4)(fd, address, length, flags);
    if (result >= 0) serving_accepted(fd, result);
    return result;
}

HOOK(connect, int, (int fd, const struct sockaddr *address, socklen_t length)) {
    int result = REAL(connect)(fd, address, length);
    int *number = result == 0 ? NULL : real_errno();
    if (result == 0 || number != NULL) serving_connected(fd, address, length, number ? *number : 0);
    return result;
}

HOOK(shutdown, int, (int fd, int how)) {
    if (how != SHUT_RD) serving_shuts(fd);
    return REAL(shutdown)(fd, how);
}

HOOK(close, int, (int fd)) {
    serving_closes(fd);
    return REAL(close)(fd);
}

HOOK(close_range, int, (unsigned first, unsigned last, int flags)) {
    if (!(flags & CLOSE_RANGE_CLOEXEC)) serving_closes_range(first, last);
    return REAL(close_range)(first, last, flags);
}

HOOK(closefrom, void, (int first)) {
    serving_closes_range(first < 0 ? 0 : (unsigned)first, ~0u);
    REAL(closefrom)(first);
}

HOOK(dup, int, (int fd)) {
    int result = REAL(dup)(fd);
    if (result >= 0) serving_doubled(fd, result);
    return result;
}

HOOK(dup2, int, (int fd, int as)) {
    if (fd != as) serving_closes(as);
    int result = REAL(dup2)(fd, as);
    if (result >= 0 && fd != as) serving_doubled(fd, as);
    return result;
}

HOOK(dup3, int, (int fd, int as, int flags)) {
    if (fd != as) serving_closes(as);
    int result = REAL(dup3)(fd, as, flags);
    if (result >= 0) serving_doubled(fd, as);
    return result;
}

static int after_fcntl(int fd, int command, int result) {
    if ((command == F_DUPFD || command == F_DUPFD_CLOEXEC) && result >= 0) serving_doubled(fd, result);
    return result;
}

/* The one argument that there may be is passed on as it is, whatever it is. */
#define FCNTL(name)                                                                                          \
    va_list arguments;                                                                                       \
    va_start(arguments, command);                                                                            \
    void *argument = va_arg(arguments, void *);                                                              \
    va_end(arguments);                                                                                       \
    return after_fcntl(fd, command, REAL(name)(fd, command, argument))

HOOK(fcntl, int, (int fd, int command, ...)) { FCNTL(fcntl); }

HOOK(fcntl64, int, (int fd, int command, ...)) { FCNTL(fcntl64); }

/* --- bytes come in ------------------------------------------------------------------------------- */

HOOK(read, ssize_t, (int fd, void *buffer, size_t size)) {
    ssize_t result = REAL(read)(fd, buffer, size);
    if (carrying(fd)) after_read(fd, buffer, result, 0);
    return result;
}

HOOK(__read_chk, ssize_t, (int fd, void *buffer, size_t size, size_t there)) {
    ssize_t result = REAL(__read_chk)(fd, buffer, size, there);
    if (carrying(fd)) after_read(fd, buffer, result, 0);
    return result;
}

HOOK(recv, ssize_t, (int fd, void *buffer, size_t size, int flags)) {
    ssize_t result = REAL(recv)(fd, buffer, size, flags);
    if (carrying(fd)) after_read(fd, buffer, result, flags);
    return result;
}

HOOK(__recv_chk, ssize_t, (int fd, void *buffer, size_t size, size_t there, int flags)) {
    ssize_t result = REAL(__recv_chk)(fd, buffer, size, there, flags);
    if (carrying(fd)) after_read(fd, buffer, result, flags);
    return result;
}

HOOK(recvfrom, ssize_t,
     (int fd, void *buffer, size_t size, int flags, struct sockaddr *address, socklen_t *length)) {
    ssize_t result = REAL(recvfrom)(fd, buffer, size, flags, address, length);
    if (carrying(fd)) after_read(fd, buffer, result, flags);
    return result;
}

HOOK(__recvfrom_chk, ssize_t,
     (int fd, void *buffer, size_t size, size_t there, int flags, struct sockaddr *address,
      socklen_t *length)) {
    ssize_t result = REAL(__recvfrom_chk)(fd, buffer, size, there, flags, address, length);
    if (carrying(fd)) after_read(fd, buffer, result, flags);
    return result;
}

HOOK(readv, ssize_t, (int fd, const struct iovec *parts, int count)) {
    ssize_t result = REAL(readv)(fd, parts, count);
    if (carrying(fd)) after_readv(fd, parts, count < 0 ? 0 : (size_t)count, result, 0);
    return result;
}

HOOK(recvmsg, ssize_t, (int fd, struct msghdr *message, int flags)) {
    ssize_t result = REAL(recvmsg)(fd, message, flags);
    if (carrying(fd)) {
        size_t count = result > 0 ? message->msg_iovlen : 0;
        after_readv(fd, result > 0 ? message->msg_iov : NULL, count, result, flags);
    }
    return result;
}

HOOK(recvmmsg, int, (int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *time)) {
    int result = REAL(recvmmsg)(fd, messages, count, flags, time);
    /* On a stream nobody does that. */
    if (carrying(fd)) after_read(fd, NULL, result, flags | MSG_TRUNC);
    return result;
}

/* --- bytes go out -------------------------------------------------------------------------------- */

HOOK(write, ssize_t, (int fd, const void *buffer, size_t size)) {
    if (!carrying(fd)) return REAL(write)(fd, buffer, size);
    serving_writes(fd, buffer, size);
    ssize_t result = REAL(write)(fd, buffer, size);
    after_write(fd, result);
    return result;
}

HOOK(send, ssize_t, (int fd, const void *buffer, size_t size, int flags)) {
    if (!carrying(fd)) return REAL(send)(fd, buffer, size, flags);
    serving_writes(fd, buffer, size);
    ssize_t result = REAL(send)(fd, buffer, size, flags);
    after_write(fd, result);
    return result;
}

HOOK(sendto, ssize_t,
     (int fd, const void *buffer, size_t size, int flags, const struct sockaddr *address, socklen_t length)) {
    if (!carrying(fd)) return REAL(sendto)(fd, buffer, size, flags, address, length);
    serving_writes(fd, buffer, size);
    ssize_t result = REAL(sendto)(fd, buffer, size, flags, address, length);
    after_write(fd, result);
    return result;
}

HOOK(writev, ssize_t, (int fd, const struct iovec *parts, int count)) {
    if (!carrying(fd)) return REAL(writev)(fd, parts, count);
    before_writev(fd, parts, count < 0 ? 0 : (size_t)count);
    ssize_t result = REAL(writev)(fd, parts, count);
    after_write(fd, result);
    return result;
}

HOOK(sendmsg, ssize_t, (int fd, const struct msghdr *message, int flags)) {
    if (!carrying(fd)) return REAL(sendmsg)(fd, message, flags);
    before_writev(fd, message->msg_iov, message->msg_iovlen);
    ssize_t result = REAL(sendmsg)(fd, message, flags);
    after_write(fd, result);
    return result;
}

HOOK(sendmmsg, int, (int fd, struct mmsghdr *messages, unsigned count, int flags)) {
    if (!carrying(fd)) return REAL(sendmmsg)(fd, messages, count, flags);
    serving_writes(fd, NULL, 0);
    int result = REAL(sendmmsg)(fd, messages, count, flags);
    after_write(fd, result);
    return result;
}

HOOK(sendfile, ssize_t, (int to, int from, off_t *offset, size_t size)) {
    if (!carrying(to)) return REAL(sendfile)(to, from, offset, size);
    serving_writes(to, NULL, 0);
    ssize_t result = REAL(sendfile)(to, from, offset, size);
    after_write(to, result);
    return result;
}

HOOK(sendfile64, ssize_t, (int to, int from, off_t *offset, size_t size)) {
    if (!carrying(to)) return REAL(sendfile64)(to, from, offset, size);
    serving_writes(to, NULL, 0);
    ssize_t result = REAL(sendfile64)(to, from, offset, size);
    after_write(to, result);
    return result;
}

HOOK(splice, ssize_t, (int from, off_t *offset, int to, off_t *into, size_t size, unsigned flags)) {
    if (carrying(to)) serving_writes(to, NULL, 0);
    ssize_t result = REAL(splice)(from, offset, to, into, size, flags);
    if (carrying(to)) after_write(to, result);
    if (carrying(from)) after_read(from, NULL, result, MSG_TRUNC);
    return result;
}

/* --- waits --------------------------------------------------------------------------------------- */

static bool some(const struct timespec *time) {
    return time == NULL || time->tv_sec != 0 || time->tv_nsec != 0;
}

HOOK(poll, int, (struct pollfd * fds, nfds_t count, int milliseconds)) {
    if (serving_minds_waits()) serving_polls(fds, count, milliseconds != 0);
    return REAL(poll)(fds, count, milliseconds);
}

HOOK(__poll_chk, int, (struct pollfd * fds, nfds_t count, int milliseconds, size_t there)) {
    if (serving_minds_waits()) serving_polls(fds, count, milliseconds != 0);
    return REAL(__poll_chk)(fds, count, milliseconds, there);
}

HOOK(ppoll, int, (struct pollfd * fds, nfds_t count, const struct timespec *time, const sigset_t *mask)) {
    if (serving_minds_waits()) serving_polls(fds, count, some(time));
    return REAL(ppoll)(fds, count, time, mask);
}

HOOK(__ppoll_chk, int,
     (struct pollfd * fds, nfds_t count, const struct timespec *time, const sigset_t *mask, size_t there)) {
    if (serving_minds_waits()) serving_polls(fds, count, some(time));
    return REAL(__ppoll_chk)(fds, count, time, mask, there);
}

HOOK(select, int, (int count, fd_set *in, fd_set *out, fd_set *odd, struct timeval *time)) {
    if (serving_minds_waits())
        serving_selects(count, in, out, odd, time == NULL || time->tv_sec != 0 || time->tv_usec != 0);
    return REAL(select)(count, in, out, odd, time);
}

HOOK(pselect, int,
     (int count, fd_set *in, fd_set *out, fd_set *odd, const struct timespec *time, const sigset_t *mask)) {
    if (serving_minds_waits()) serving_selects(count, in, out, odd, some(time));
    return REAL(pselect)(count, in, out, odd, time, mask);
}

HOOK(epoll_ctl, int, (int epoll, int command, int fd, struct epoll_event *event)) {
    int result = REAL(epoll_ctl)(epoll, command, fd, event);
    if (result == 0 && command == EPOLL_CTL_ADD) serving_joins(epoll, fd);
    return result;
}

HOOK(epoll_wait, int, (int epoll, struct epoll_event *events, int most, int milliseconds)) {
    serving_waits_for_set(epoll, milliseconds != 0);
    return REAL(epoll_wait)(epoll, events, most, milliseconds);
}

HOOK(epoll_pwait, int,
     (int epoll, struct epoll_event *events, int most, int milliseconds, const sigset_t *mask)) {
    serving_waits_for_set(epoll, milliseconds != 0);
    return REAL(epoll_pwait)(epoll, events, most, milliseconds, mask);
}

HOOK(epoll_pwait2, int,
     (int epoll, struct epoll_event *events, int most, const struct timespec *time, const sigset_t *mask)) {
    serving_waits_for_set(epoll, some(time));
    return REAL(epoll_pwait2)(epoll, events, most, time, mask);
}
