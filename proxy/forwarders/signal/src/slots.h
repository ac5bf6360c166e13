/* The memory that is shared with the sidecar: for each local port of a call, which request it is for. */
#ifndef THROUGHLINE_SLOTS_H
#define THROUGHLINE_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

/* The request that came over the sidecar's port `inbound` makes the next request on `outbound`, which leads
 * to the sidecar's port `listener`. */
void slots_say(uint16_t outbound, uint16_t listener, uint16_t inbound);

/* Nothing is known of the next request on `outbound`. */
void slots_say_nothing(uint16_t outbound);

/* Whether the sidecar reaches the app at this port. True where it has not said at which it does. */
bool slots_sidecar_calls_at(uint16_t port);

#endif
