#include "process.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>

#include "system.h"

/* Since Linux 4.14: a page that the child of a fork finds empty, and that of a `vfork` as it is. */
#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

static _Atomic(_Atomic uint32_t *) page;

bool process_begin(void) {
    if (atomic_load(&page) != NULL) return true;
    long made = SYSTEM_CALL(mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (made < 0 && made >= -4095) return false;
    _Atomic uint32_t *none = NULL;
    if (SYSTEM_CALL(madvise, made, 4096, MADV_WIPEONFORK, 0, 0, 0) != 0 ||
        !atomic_compare_exchange_strong(&page, &none, (_Atomic uint32_t *)made)) {
        SYSTEM_CALL(munmap, made, 4096, 0, 0, 0, 0);
    }
    return atomic_load(&page) != NULL;
}

uint32_t process_number(void) {
    _Atomic uint32_t *number = atomic_load_explicit(&page, memory_order_acquire);
    uint32_t known = atomic_load_explicit(number, memory_order_relaxed);
    if (known != 0) return known;
    known = process_id();
    atomic_store_explicit(number, known, memory_order_relaxed);
    return known;
}

bool process_is_borrowed(void) { return process_number() != process_id(); }
