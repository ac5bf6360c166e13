#include "trust.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>

#include "settings.h"
#include "system.h"

/* As many requests have to show it before any is believed. They cost as many calls, once for a server
 * with all its workers. */
#define ENOUGH 8
#define PORTS 64

struct server {
    _Atomic uint32_t port;
    _Atomic uint32_t shown;
    _Atomic uint32_t is_lost;
};

static _Atomic(struct server *) servers;

bool trust_begin(void) {
    if (atomic_load(&servers) != NULL) return true;
    long size = sizeof(struct server) * PORTS;
    long made = SYSTEM_CALL(mmap, NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (made < 0 && made >= -4095) return false;
    struct server *none = NULL;
    if (!atomic_compare_exchange_strong(&servers, &none, (struct server *)made))
        SYSTEM_CALL(munmap, made, size, 0, 0, 0, 0);
    return true;
}

/* Null when there are more servers than anybody runs in one process. */
static struct server *server_of(uint16_t port) {
    struct server *all = atomic_load_explicit(&servers, memory_order_acquire);
    if (all == NULL || port == 0) return NULL;
    for (int i = 0; i < PORTS; i++) {
        uint32_t there = atomic_load_explicit(&all[i].port, memory_order_acquire);
        if (there == 0 && atomic_compare_exchange_strong(&all[i].port, &there, port)) there = port;
        if (there == port) return &all[i];
    }
    return NULL;
}

void trust_gain(uint16_t port) {
    struct server *server = server_of(port);
    if (server == NULL || atomic_load_explicit(&server->shown, memory_order_relaxed) >= ENOUGH) return;
    uint32_t shown = atomic_fetch_add(&server->shown, 1) + 1;
    if (shown == ENOUGH && !atomic_load(&server->is_lost))
        settings_debug("one thread serves a request, and is believed at port", port);
}

void trust_lose(uint16_t port, const char *why) {
    struct server *server = server_of(port);
    if (server != NULL && atomic_exchange(&server->is_lost, 1) == 0) settings_debug(why, port);
}

bool trust_has(uint16_t port) {
    struct server *server = server_of(port);
    return server != NULL && !atomic_load_explicit(&server->is_lost, memory_order_acquire) &&
           atomic_load_explicit(&server->shown, memory_order_acquire) >= ENOUGH;
}
