/* What is known of each file descriptor: a table without locks, whose entries are atomic words.
 *
 * Two threads that use one descriptor at once may leave words of both. That is never worse than an
 * abstention, for the one word that decides whether a request is being served is its number, which no
 * other request ever has.
 */
#ifndef THROUGHLINE_CONNECTIONS_H
#define THROUGHLINE_CONNECTIONS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    /* Nothing that matters here. */
    NOTHING,
    /* Connections are accepted from it. */
    LISTENER,
    /* A set of epoll. */
    SET,
    /* Accepted, from this machine: requests come in. */
    INBOUND,
    /* Accepted too, but nothing that is read from it can be told the sidecar. */
    STRANGER,
    /* Connected to the sidecar: calls go out. */
    OUTBOUND,
};

/* How much of a request is still to be read, where that is not known. */
#define UNKNOWN UINT64_MAX

struct connection {
    _Atomic uint8_t kind;

    /* INBOUND: the other end's port, and ours. OUTBOUND: our port, and that of the server that the call
     * is made in. */
    _Atomic uint16_t port;
    _Atomic uint16_t server;

    /* OUTBOUND: the sidecar's port that it leads to. Two connections may have the same port of ours, if
     * they lead to different ones of the sidecar. */
    _Atomic uint16_t listener;

    /* INBOUND: the number of the request that was read and not answered, 0 without one. Numbers are
     * even; an odd one says that no thread has the request. OUTBOUND: the number of the request that the
     * call was made for which was written, until something of the answer is read. */
    _Atomic uint64_t request;

    /* INBOUND: how much of the request's body is to come. SET: the only descriptor that it ever had, and
     * UNKNOWN when it had more. */
    _Atomic uint64_t rest;

    /* OUTBOUND: the thread that has written last. */
    _Atomic uint32_t writer;
    /* OUTBOUND: what is written next begins a request, for all before is answered or nothing was. */
    _Atomic bool is_fresh;
    /* OUTBOUND: connecting was left to itself, and nobody has waited for it yet. */
    _Atomic bool is_connecting;
    /* OUTBOUND: the thread that called has itself waited for the answer. */
    _Atomic bool is_waited_for;
    /* OUTBOUND: it does not speak HTTP/1. */
    _Atomic bool is_foreign;
};

#define CONNECTIONS 16384

extern struct connection connections[CONNECTIONS];

#define LOAD(field) atomic_load_explicit(&(field), memory_order_acquire)
#define STORE(field, value) atomic_store_explicit(&(field), (value), memory_order_release)

/* The entry of a descriptor of which something is known, else null. */
static inline struct connection *known(int fd) {
    if ((unsigned)fd >= CONNECTIONS) return NULL;
    struct connection *connection = &connections[fd];
    return LOAD(connection->kind) == NOTHING ? NULL : connection;
}

/* Of what is known, those that bytes of HTTP may go over. */
static inline struct connection *carrying(int fd) {
    struct connection *connection = known(fd);
    return connection != NULL && LOAD(connection->kind) >= INBOUND ? connection : NULL;
}

#endif
