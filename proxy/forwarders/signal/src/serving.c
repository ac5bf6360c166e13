#include "serving.h"

#include <errno.h>
#include <fcntl.h>

#include "address.h"
#include "connections.h"
#include "head.h"
#include "process.h"
#include "settings.h"
#include "slots.h"
#include "system.h"
#include "trust.h"

struct connection connections[CONNECTIONS];

/* Requests that a thread has read whole, has called nobody for, and has turned away from. */
#define LEFT 4

struct thread {
    uint32_t number;
    /* The process that all below was noted in. */
    uint32_t process;
    /* It has waited in epoll for many. What it does at any time may be for anybody. */
    bool loops;

    /* The request that it serves and where it came in; 0 without one. */
    uint64_t request;
    int fd;
    /* It has called the sidecar for it, and has had an answer that it waited for itself. */
    bool has_called;
    bool has_waited;
    /* A call whose answer it has not waited for yet, else -1. */
    int unread;

    struct {
        int fd;
        uint64_t request;
    } left[LEFT];
    unsigned lefts;
};

/* Initial-exec: no call into the loader, which would take a lock, at the first use in a thread. */
static _Thread_local struct thread thread_state __attribute__((tls_model("initial-exec")));
static _Atomic uint32_t threads;
static _Atomic uint64_t requests = 2;

/* This thread. In the child of a fork it begins with nothing: what its parent is serving is not its. */
static struct thread *here(void) {
    struct thread *thread = &thread_state;
    uint32_t process = process_number();
    if (thread->process != process) {
        if (thread->number == 0) thread->number = atomic_fetch_add(&threads, 1) + 1;
        thread->process = process;
        thread->request = 0;
        thread->unread = -1;
        for (int i = 0; i < LEFT; i++) thread->left[i].request = 0;
    }
    return thread;
}

/* The connection of the request that it serves, null where it serves none. */
static struct connection *serves(struct thread *thread) {
    if (thread->request == 0) return NULL;
    struct connection *inbound = &connections[thread->fd];
    if (LOAD(inbound->request) == thread->request) return inbound;
    thread->request = 0;
    return NULL;
}

static bool change(_Atomic uint64_t *field, uint64_t from, uint64_t to) {
    return atomic_compare_exchange_strong(field, &from, to);
}

static bool begin(void) { return settings_are_on() && process_begin() && trust_begin(); }

/* The port at this end of a socket, or at the other. 0: it is no socket of this machine. */
static uint16_t port_of(int fd, bool other_end, bool *is_local) {
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    long error = other_end ? SYSTEM_CALL(getpeername, fd, &name, &length, 0, 0, 0)
                           : SYSTEM_CALL(getsockname, fd, &name, &length, 0, 0, 0);
    struct address address;
    if (error != 0 || !address_read(&address, &name, length)) return 0;
    if (is_local) *is_local = address_is_local(&address);
    return address.port;
}

static void forget(struct connection *connection) {
    if (LOAD(connection->kind) == OUTBOUND) slots_say_nothing(LOAD(connection->port));
    STORE(connection->request, 0);
    STORE(connection->kind, NOTHING);
}

/* --- what a thread turns to ---------------------------------------------------------------------- */

/* It goes on to something else, and has not answered the request. If it has called for it, it is a loop
 * or hands requests over, and no call of it can be told from another. If it has not, the request may be
 * one that needs no call, such as a file; then no call may come of it any more. */
static void turns_away(struct thread *thread, const char *why) {
    struct connection *inbound = serves(thread);
    if (inbound == NULL) return;
    if (thread->has_called) {
        trust_lose(LOAD(inbound->server), why);
    } else if (LOAD(inbound->rest) == 0) {
        unsigned at = thread->lefts++ % LEFT;
        thread->left[at].fd = thread->fd;
        thread->left[at].request = thread->request;
    }
    change(&inbound->request, thread->request, thread->request | 1);
    thread->request = 0;
}

static void takes(struct thread *thread, int fd, uint64_t request) {
    if (thread->request == request) return;
    turns_away(thread, "a thread reads a request before it has answered another, at port");
    thread->fd = fd;
    thread->request = request;
    thread->has_called = false;
    thread->has_waited = false;
    thread->unread = -1;
}

/* It calls the sidecar. If it does so while it serves nothing, the call may be for a request that it has
 * left: so does a loop. */
static struct connection *calls(struct thread *thread) {
    struct connection *inbound = serves(thread);
    if (inbound != NULL) {
        thread->has_called = true;
        return inbound;
    }
    for (int i = 0; i < LEFT && !thread->loops; i++) {
        uint64_t request = thread->left[i].request;
        struct connection *left = &connections[thread->left[i].fd];
        if (request != 0 && LOAD(left->request) == (request | 1))
            trust_lose(LOAD(left->server), "a thread comes back to a request that it has left, at port");
        thread->left[i].request = 0;
    }
    return NULL;
}

/* --- requests and their answers ------------------------------------------------------------------ */

static void reads_request(int fd, struct connection *inbound, const char *bytes, size_t length,
                          size_t count) {
    struct thread *thread = here();
    uint64_t open = LOAD(inbound->request);
    uint64_t rest = LOAD(inbound->rest);
    if (rest != UNKNOWN && (open != 0 || rest != 0)) STORE(inbound->rest, rest > count ? rest - count : 0);

    if (open == 0) {
        /* The rest of one that is answered already. */
        if (rest != UNKNOWN && rest != 0) return;
        uint64_t request = atomic_fetch_add(&requests, 2);
        /* WebSockets are handed over to other threads by servers that do that with nothing else. */
        if (thread->loops || !head_begins_request(bytes, length) || head_asks_for_websocket(bytes, length)) {
            STORE(inbound->rest, UNKNOWN);
            STORE(inbound->request, request | 1);
            turns_away(thread, "a thread reads another connection before it has answered, at port");
            return;
        }
        STORE(inbound->rest, head_rest(bytes, length));
        STORE(inbound->request, request);
        takes(thread, fd, request);
        return;
    }

    if (thread->request == open) return;
    if (thread->loops) {
        change(&inbound->request, open & ~1ull, open | 1);
    } else if (open & 1) {
        if (change(&inbound->request, open, open & ~1ull)) takes(thread, fd, open & ~1ull);
    } else {
        trust_lose(LOAD(inbound->server), "a thread reads on in a request that another has, at port");
        change(&inbound->request, open, open | 1);
    }
}

static void answers(struct connection *inbound, const char *bytes, size_t length) {
    uint64_t open = LOAD(inbound->request);
    if (open == 0 || (bytes != NULL && head_is_interim(bytes, length))) return;
    struct thread *thread = here();
    if (thread->request == open) {
        if (thread->has_waited) trust_gain(LOAD(inbound->server));
        thread->request = 0;
    } else if (!(open & 1)) {
        trust_lose(LOAD(inbound->server), "a thread answers what another has read, at port");
    }
    STORE(inbound->request, 0);
}

/* --- calls and their answers --------------------------------------------------------------------- */

/* The sidecar's port of the request that this call is for; 0 unless that is certain. */
static uint16_t cause_of(struct thread *thread, int fd, struct connection *outbound,
                         struct connection *inbound) {
    if (inbound == NULL || thread->loops) return 0;
    /* Whoever serves one request waits for what it has begun before it begins another thing. A loop does
     * not, and this is how the first call is caught that it makes as one. */
    if (LOAD(outbound->is_connecting)) return 0;
    if (thread->unread >= 0 && thread->unread != fd) {
        struct connection *unread = known(thread->unread);
        if (unread != NULL && LOAD(unread->kind) == OUTBOUND) return 0;
        thread->unread = -1;
    }
    uint16_t server = LOAD(inbound->server), port = LOAD(inbound->port);
    if (!trust_has(server) || !slots_sidecar_calls_at(server)) return 0;
    /* The descriptor may have been closed in a way that is not seen here, and be another one. */
    if (port_of(thread->fd, true, NULL) != port || process_is_borrowed()) return 0;
    return port;
}

static void writes_call(int fd, struct connection *outbound, const char *bytes, size_t length) {
    if (LOAD(outbound->is_foreign)) return;
    struct thread *thread = here();
    struct connection *inbound = calls(thread);
    bool begins = bytes != NULL && head_begins_request(bytes, length);
    /* The middle of a request, or a second one before the first is answered. */
    if (!LOAD(outbound->is_fresh) && !begins) return;
    uint16_t port = LOAD(outbound->port);
    if (port_of(fd, false, NULL) != port) {
        STORE(outbound->kind, NOTHING);
        return;
    }
    if (!LOAD(outbound->is_fresh) || !begins) {
        STORE(outbound->request, 0);
        slots_say_nothing(port);
        if (bytes != NULL && head_is_foreign(bytes, length)) STORE(outbound->is_foreign, true);
        return;
    }
    STORE(outbound->is_waited_for, false);
    STORE(outbound->writer, thread->number);
    STORE(outbound->server, inbound ? LOAD(inbound->server) : 0);
    STORE(outbound->request, inbound ? thread->request : 0);
    uint16_t cause = cause_of(thread, fd, outbound, inbound);
    if (inbound != NULL) thread->unread = fd;
    if (cause != 0) {
        slots_say(port, LOAD(outbound->listener), cause);
    } else {
        slots_say_nothing(port);
    }
}

static void reads_answer(int fd, struct connection *outbound, bool waits_not) {
    struct thread *thread = here();
    uint64_t request = LOAD(outbound->request);
    STORE(outbound->is_fresh, true);
    STORE(outbound->is_connecting, false);
    if (thread->unread == fd) thread->unread = -1;
    if (request == 0) return;
    STORE(outbound->request, 0);
    if (LOAD(outbound->writer) != thread->number) {
        trust_lose(LOAD(outbound->server), "a thread reads the answer to what another has called, at port");
    } else if (serves(thread) != NULL && thread->request == request && !thread->has_waited) {
        /* A loop never waits in a call for the one connection: it has found the answer there. */
        thread->has_waited = LOAD(outbound->is_waited_for) ||
                             (!waits_not && !(SYSTEM_CALL(fcntl, fd, F_GETFL, 0, 0, 0, 0) & O_NONBLOCK));
    }
}

/* --- the app's calls ----------------------------------------------------------------------------- */

void serving_listens(int fd) {
    if ((unsigned)fd < CONNECTIONS && begin()) STORE(connections[fd].kind, LISTENER);
}

void serving_accepted(int listener, int fd) {
    if (!begin()) return;
    turns_away(here(), "a thread accepts a connection before it has answered, at port");
    if ((unsigned)listener < CONNECTIONS) STORE(connections[listener].kind, LISTENER);
    bool is_local = false;
    uint16_t peer = port_of(fd, true, &is_local);
    uint16_t server = peer != 0 && is_local ? port_of(fd, false, NULL) : 0;
    if ((unsigned)fd >= CONNECTIONS) {
        trust_lose(server, "there are too many connections, at port");
        return;
    }
    struct connection *inbound = &connections[fd];
    forget(inbound);
    STORE(inbound->port, peer);
    STORE(inbound->server, server);
    STORE(inbound->rest, 0);
    STORE(inbound->kind, server != 0 ? INBOUND : STRANGER);
}

void serving_connected(int fd, const struct sockaddr *address, uint32_t length, int error) {
    if ((unsigned)fd >= CONNECTIONS || !begin()) return;
    struct connection *outbound = &connections[fd];
    bool is_begun = error == EINPROGRESS || error == EINTR || error == EALREADY;
    if (error == EISCONN || (error != 0 && !is_begun)) return;
    uint16_t listener = settings_lead_to_sidecar(address, length);
    if (listener == 0) {
        if (LOAD(outbound->kind) != NOTHING) forget(outbound);
        return;
    }
    calls(here());
    uint16_t port = port_of(fd, false, NULL);
    /* Asked again how far it has come. */
    if (LOAD(outbound->kind) == OUTBOUND && LOAD(outbound->port) == port) return;
    STORE(outbound->request, 0);
    STORE(outbound->port, port);
    STORE(outbound->listener, listener);
    STORE(outbound->writer, 0);
    STORE(outbound->is_fresh, true);
    STORE(outbound->is_connecting, is_begun);
    STORE(outbound->is_waited_for, false);
    STORE(outbound->is_foreign, false);
    STORE(outbound->kind, OUTBOUND);
    slots_say_nothing(port);
}

void serving_writes(int fd, const char *bytes, size_t length) {
    struct connection *connection = &connections[fd];
    uint8_t kind = LOAD(connection->kind);
    if (kind == INBOUND) answers(connection, bytes, length);
    if (kind == OUTBOUND) writes_call(fd, connection, bytes, length);
}

void serving_wrote(int fd) { STORE(connections[fd].is_fresh, false); }

void serving_read(int fd, const char *bytes, size_t length, size_t count, bool waits_not) {
    struct connection *connection = &connections[fd];
    uint8_t kind = LOAD(connection->kind);
    if (kind == INBOUND) reads_request(fd, connection, bytes, length, count);
    if (kind == OUTBOUND) reads_answer(fd, connection, waits_not);
    if (kind == STRANGER)
        turns_away(here(), "a thread reads another connection before it has answered, at port");
}

void serving_found_nothing(int fd) {
    struct thread *thread = here();
    struct connection *inbound = serves(thread);
    if (inbound == NULL) return;
    if (LOAD(connections[fd].kind) == OUTBOUND) thread->unread = fd;
    /* The rest of the request is not there. Whether this thread will read it is open. */
    if (fd == thread->fd && LOAD(inbound->rest) != 0) {
        change(&inbound->request, thread->request, thread->request | 1);
        thread->request = 0;
    }
}

/* What a wait is for. */
struct wait {
    bool for_others;
    bool for_own;
    bool for_calls;
};

static void waits_for(struct thread *thread, int fd, bool waits, struct wait *wait) {
    struct connection *connection = known(fd);
    if (connection == NULL) return;
    switch (LOAD(connection->kind)) {
    case OUTBOUND:
        wait->for_calls = true;
        if (!waits) break;
        STORE(connection->is_connecting, false);
        STORE(connection->is_waited_for, true);
        if (thread->unread == fd) thread->unread = -1;
        break;
    case INBOUND:
        if (fd == thread->fd) {
            wait->for_own = true;
            break;
        }
        __attribute__((fallthrough));
    default:
        wait->for_others = true;
    }
}

/* To wait for other requests, or for the client and an upstream at once, is what loops do. */
static void settle(struct thread *thread, const struct wait *wait) {
    if (wait->for_others || (wait->for_own && wait->for_calls))
        turns_away(thread, "a thread waits for other requests before it has answered, at port");
}

bool serving_minds_waits(void) { return thread_state.request != 0; }

void serving_polls(const struct pollfd *fds, nfds_t count, bool waits) {
    struct thread *thread = here();
    if (serves(thread) == NULL) return;
    /* A look whether anybody waits to be accepted is none at a request: Puma looks before it answers, to
     * decide whether the connection is kept. */
    struct connection *only = count == 1 && !waits ? known(fds[0].fd) : NULL;
    if (only != NULL && LOAD(only->kind) == LISTENER) return;
    struct wait wait = {false, false, false};
    for (nfds_t i = 0; i < count; i++) waits_for(thread, fds[i].fd, waits, &wait);
    settle(thread, &wait);
}

void serving_selects(int count, const fd_set *in, const fd_set *out, const fd_set *odd, bool waits) {
    struct thread *thread = here();
    if (serves(thread) == NULL) return;
    struct wait wait = {false, false, false};
    /* Word by word: the set may be longer than FD_SETSIZE, if the program has made it so. */
    const unsigned long *sets[] = {(const void *)in, (const void *)out, (const void *)odd};
    int width = 8 * (int)sizeof(unsigned long);
    for (int from = 0; from < count; from += width) {
        unsigned long any = 0;
        for (int i = 0; i < 3; i++)
            if (sets[i]) any |= sets[i][from / width];
        for (int fd = from; any != 0 && fd < count; fd++, any >>= 1)
            if (any & 1) waits_for(thread, fd, waits, &wait);
    }
    settle(thread, &wait);
}

void serving_joins(int set, int fd) {
    if ((unsigned)set >= CONNECTIONS || !begin()) return;
    struct connection *connection = &connections[set];
    uint64_t only = LOAD(connection->kind) == SET ? LOAD(connection->rest) : (uint64_t)fd;
    STORE(connection->rest, only == (uint64_t)fd ? only : UNKNOWN);
    STORE(connection->kind, SET);
}

/* With one connection or listener in it, and never another, a set is waited for as by `poll`: some servers
 * wait so for a request, with a limit of time. With anything else in it, the thread is a loop. */
void serving_waits_for_set(int set, bool waits) {
    struct thread *thread = &thread_state;
    if (thread->loops) return;
    struct connection *connection = known(set);
    if (connection != NULL && LOAD(connection->kind) == SET && LOAD(connection->rest) < CONNECTIONS) {
        struct connection *only = known((int)LOAD(connection->rest));
        uint8_t kind = only ? LOAD(only->kind) : NOTHING;
        if (kind == INBOUND || kind == LISTENER) {
            struct pollfd one = {(int)LOAD(connection->rest), 0, 0};
            if (thread->request != 0) serving_polls(&one, 1, waits);
            return;
        }
    }
    thread->loops = true;
    if (thread->request == 0) return;
    struct connection *inbound = serves(here());
    if (inbound == NULL) return;
    change(&inbound->request, thread->request, thread->request | 1);
    thread->request = 0;
}

void serving_closes(int fd) {
    struct connection *connection = known(fd);
    if (connection != NULL && !process_is_borrowed()) forget(connection);
}

void serving_closes_range(unsigned first, unsigned last) {
    if (!settings_are_on()) return;
    for (unsigned fd = first; fd < CONNECTIONS && fd <= last; fd++) serving_closes((int)fd);
}

void serving_shuts(int fd) {
    struct connection *connection = known(fd);
    if (connection != NULL && LOAD(connection->kind) == INBOUND) STORE(connection->request, 0);
}

void serving_doubled(int fd, int into) {
    struct connection *first = known(fd), *second = known(into);
    if ((first == NULL && second == NULL) || process_is_borrowed()) return;
    if (second != NULL) forget(second);
    if (first == NULL) return;
    switch (LOAD(first->kind)) {
    case LISTENER:
        serving_listens(into);
        break;
    case OUTBOUND:
        /* Either name may be written to from now on, and one of them is not looked at. */
        forget(first);
        break;
    default:
        STORE(first->request, 0);
        STORE(first->kind, STRANGER);
        if ((unsigned)into < CONNECTIONS) STORE(connections[into].kind, STRANGER);
    }
}
