#include "slots.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "settings.h"
#include "system.h"

struct slot {
    _Atomic uint64_t word;
    _Atomic uint64_t complement;
};

#define SLOTS 65536
#define SIZE (SLOTS * sizeof(struct slot))
#define SECOND 1000000

static _Atomic(struct slot *) slots;
static _Atomic uint64_t tried;

#ifndef FALLOC_FL_KEEP_SIZE
#define FALLOC_FL_KEEP_SIZE 1
#endif

/* A page that the file system has no room for would kill the app when it is written to. So room is made
 * before, where the sidecar has not. */
static bool has_room(int fd, const struct stat *about) {
    if ((uint64_t)about->st_blocks * 512 >= SIZE) return true;
    return SYSTEM_CALL(fallocate, fd, FALLOC_FL_KEEP_SIZE, 0, SIZE, 0, 0) == 0;
}

static struct slot *map(void) {
    long fd =
        SYSTEM_CALL(openat, AT_FDCWD, settings_file(), O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0, 0, 0);
    if (fd < 0) return NULL;
    struct stat about;
    long made = -1;
    if (SYSTEM_CALL(fstat, fd, &about, 0, 0, 0, 0) == 0 && (uint64_t)about.st_size >= SIZE &&
        has_room((int)fd, &about)) {
        made = SYSTEM_CALL(mmap, NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    SYSTEM_CALL(close, fd, 0, 0, 0, 0, 0);
    return made < 0 && made >= -4095 ? NULL : (struct slot *)made;
}

/* Null while there is no such file. The sidecar may start after the app, so that it is looked for again,
 * once a second at most. */
static struct slot *all(void) {
    struct slot *there = atomic_load_explicit(&slots, memory_order_acquire);
    if (there != NULL) return there;
    uint64_t now = microseconds(), last = atomic_load(&tried);
    if (last != 0 && now - last < SECOND) return NULL;
    if (!atomic_compare_exchange_strong(&tried, &last, now)) return NULL;
    struct slot *made = map();
    if (made == NULL) {
        if (last == 0) settings_debug("the file cannot be had that THROUGHLINE_SIGNAL names, error", 0);
        return NULL;
    }
    if (!atomic_compare_exchange_strong(&slots, &there, made)) {
        SYSTEM_CALL(munmap, made, SIZE, 0, 0, 0, 0);
        return there;
    }
    return made;
}

static void store(uint16_t outbound, uint64_t word, uint64_t complement) {
    struct slot *there = all();
    /* Port 0 is nobody's: there the sidecar says at which ports it calls the app. */
    if (there == NULL || outbound == 0) return;
    struct slot *slot = &there[outbound];
    /* A reader between the two finds words that do not fit each other. */
    atomic_store_explicit(&slot->word, word, memory_order_release);
    atomic_store_explicit(&slot->complement, complement, memory_order_release);
}

void slots_say(uint16_t outbound, uint16_t listener, uint16_t inbound) {
    /* 32 bits of time, in units of 16 microseconds. */
    uint64_t word = (microseconds() >> 4) << 32 | (uint32_t)listener << 16 | inbound;
    store(outbound, word, ~word);
}

void slots_say_nothing(uint16_t outbound) { store(outbound, 0, 0); }

bool slots_sidecar_calls_at(uint16_t port) {
    struct slot *there = all();
    if (there == NULL) return false;
    uint64_t complement = atomic_load_explicit(&there->complement, memory_order_acquire);
    uint64_t ports = atomic_load_explicit(&there->word, memory_order_acquire);
    if (ports == 0 || complement != ~ports) return ports == 0 && complement == 0;
    for (; ports != 0; ports >>= 16)
        if ((uint16_t)ports == port) return true;
    return false;
}
