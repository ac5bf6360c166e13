/* Whether the server behind a port serves a request with the thread that reads it, learnt from what it
 * does. All processes that were forked from one another learn together. */
#ifndef THROUGHLINE_TRUST_H
#define THROUGHLINE_TRUST_H

#include <stdbool.h>
#include <stdint.h>

/* Makes the page that is learnt in; once, before the first fork that matters. */
bool trust_begin(void);

/* A request at this port was read, called for, waited for and answered by one thread. */
void trust_gain(uint16_t port);

/* Something was seen that a thread with one request at a time never does: never again. */
void trust_lose(uint16_t port, const char *why);

bool trust_has(uint16_t port);

#endif
