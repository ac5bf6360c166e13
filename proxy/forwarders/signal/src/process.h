/* Which process this is: itself, a fork of the one that it was, or one that has borrowed its memory. */
#ifndef THROUGHLINE_PROCESS_H
#define THROUGHLINE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

/* Makes the pages that the answers rest on; once, before the first fork that matters. False: there are
 * none, and nothing may be believed. */
bool process_begin(void);

/* The number of this process. A fork gets another one; no system call, once it has asked. */
uint32_t process_number(void);

/* Whether this is the child of a `vfork` or a `posix_spawn`, which runs in its parent's memory until it
 * executes another program. Whatever it closes or duplicates, its parent has it still. */
bool process_is_borrowed(void);

#endif
