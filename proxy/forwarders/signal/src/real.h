/* The functions that stand behind ours: libc's, or another preloaded library's. */
#ifndef THROUGHLINE_REAL_H
#define THROUGHLINE_REAL_H

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

struct mmsghdr;

/* name, result, parameters. The last ones are libc's own checks, which programs that are compiled with
 * _FORTIFY_SOURCE call in place of the others. */
#define REAL_FUNCTIONS(X)                                                                                    \
    X(listen, int, (int, int))                                                                               \
    X(accept, int, (int, struct sockaddr *, socklen_t *))                                                    \
    X(accept4, int, (int, struct sockaddr *, socklen_t *, int))                                              \
    X(connect, int, (int, const struct sockaddr *, socklen_t))                                               \
    X(shutdown, int, (int, int))                                                                             \
    X(close, int, (int))                                                                                     \
    X(close_range, int, (unsigned, unsigned, int))                                                           \
    X(closefrom, void, (int))                                                                                \
    X(dup, int, (int))                                                                                       \
    X(dup2, int, (int, int))                                                                                 \
    X(dup3, int, (int, int, int))                                                                            \
    X(fcntl, int, (int, int, ...))                                                                           \
    X(fcntl64, int, (int, int, ...))                                                                         \
    X(read, ssize_t, (int, void *, size_t))                                                                  \
    X(readv, ssize_t, (int, const struct iovec *, int))                                                      \
    X(recv, ssize_t, (int, void *, size_t, int))                                                             \
    X(recvfrom, ssize_t, (int, void *, size_t, int, struct sockaddr *, socklen_t *))                         \
    X(recvmsg, ssize_t, (int, struct msghdr *, int))                                                         \
    X(recvmmsg, int, (int, struct mmsghdr *, unsigned, int, struct timespec *))                              \
    X(write, ssize_t, (int, const void *, size_t))                                                           \
    X(writev, ssize_t, (int, const struct iovec *, int))                                                     \
    X(send, ssize_t, (int, const void *, size_t, int))                                                       \
    X(sendto, ssize_t, (int, const void *, size_t, int, const struct sockaddr *, socklen_t))                 \
    X(sendmsg, ssize_t, (int, const struct msghdr *, int))                                                   \
    X(sendmmsg, int, (int, struct mmsghdr *, unsigned, int))                                                 \
    X(sendfile, ssize_t, (int, int, off_t *, size_t))                                                        \
    X(sendfile64, ssize_t, (int, int, off_t *, size_t))                                                      \
    X(splice, ssize_t, (int, off_t *, int, off_t *, size_t, unsigned))                                       \
    X(poll, int, (struct pollfd *, nfds_t, int))                                                             \
    X(ppoll, int, (struct pollfd *, nfds_t, const struct timespec *, const sigset_t *))                      \
    X(select, int, (int, fd_set *, fd_set *, fd_set *, struct timeval *))                                    \
    X(pselect, int, (int, fd_set *, fd_set *, fd_set *, const struct timespec *, const sigset_t *))          \
    X(epoll_ctl, int, (int, int, int, struct epoll_event *))                                                 \
    X(epoll_wait, int, (int, struct epoll_event *, int, int))                                                \
    X(epoll_pwait, int, (int, struct epoll_event *, int, int, const sigset_t *))                             \
    X(epoll_pwait2, int, (int, struct epoll_event *, int, const struct timespec *, const sigset_t *))        \
    X(__read_chk, ssize_t, (int, void *, size_t, size_t))                                                    \
    X(__recv_chk, ssize_t, (int, void *, size_t, size_t, int))                                               \
    X(__recvfrom_chk, ssize_t, (int, void *, size_t, size_t, int, struct sockaddr *, socklen_t *))           \
    X(__poll_chk, int, (struct pollfd *, nfds_t, int, size_t))                                               \
    X(__ppoll_chk, int, (struct pollfd *, nfds_t, const struct timespec *, const sigset_t *, size_t))

#define DECLARE(name, result, parameters) result(*name##_) parameters;
struct real {
    REAL_FUNCTIONS(DECLARE)
};
#undef DECLARE

/* Found when the library is loaded, or at the first call where another library calls before that. */
const struct real *real_functions(void);

/* This thread's errno, or null where the libc does not say. */
int *real_errno(void);

#endif
