/* Which request a thread is serving.
 *
 * A thread serves a request from its first byte that the thread reads to the first byte of its answer,
 * and only while nothing tells that the thread has turned to anything else. What would tell that is a
 * wait for other connections, the head of another request, or that another thread goes on with it.
 *
 * All of it runs inside of the app's own calls: it takes no lock and no memory, touches no errno, and may
 * be interrupted by a signal at any point.
 */
#ifndef THROUGHLINE_SERVING_H
#define THROUGHLINE_SERVING_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/select.h>

struct sockaddr;

void serving_listens(int fd);
void serving_accepted(int listener, int fd);
/* After `connect`: `error` is 0 or the reason why it has not come about, or not yet. */
void serving_connected(int fd, const struct sockaddr *address, uint32_t length, int error);

/* Before bytes are written. Null where they are not seen. */
void serving_writes(int fd, const char *bytes, size_t length);
/* After they were, at least one. */
void serving_wrote(int fd);
/* After at least one byte was read, of which `length` are seen. */
void serving_read(int fd, const char *bytes, size_t length, size_t count, bool waits_not);
/* After a read that found nothing there yet. */
void serving_found_nothing(int fd);

/* Before a wait for any of these. One that does not wait only looks. */
void serving_polls(const struct pollfd *fds, nfds_t count, bool waits);
void serving_selects(int count, const fd_set *in, const fd_set *out, const fd_set *odd, bool waits);
/* After a descriptor was put into a set of epoll, and before a wait for the set. */
void serving_joins(int set, int fd);
void serving_waits_for_set(int set, bool waits);
/* Whether waits are of any interest now. */
bool serving_minds_waits(void);

/* Before a descriptor is closed, or made to be another one. */
void serving_closes(int fd);
void serving_closes_range(unsigned first, unsigned last);
/* Before our side of a connection is shut. */
void serving_shuts(int fd);
/* After a descriptor was duplicated. */
void serving_doubled(int fd, int into);

#endif
