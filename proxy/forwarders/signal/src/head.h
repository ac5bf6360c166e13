/* The first bytes of a message, looked at as far as is needed and no further. */
#ifndef THROUGHLINE_HEAD_H
#define THROUGHLINE_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A request of HTTP/1 begins here: a method and a space. HTTP/2's preface is none. */
bool head_begins_request(const char *bytes, size_t length);

/* HTTP/2's preface or a record of TLS: no request of HTTP/1 will ever come of it. */
bool head_is_foreign(const char *bytes, size_t length);

/* The request asks for a WebSocket. */
bool head_asks_for_websocket(const char *bytes, size_t length);

/* A response begins here after which another follows to the same request. */
bool head_is_interim(const char *bytes, size_t length);

/* How much of the request is to come after these first bytes of it; UNKNOWN where they do not say. */
uint64_t head_rest(const char *bytes, size_t length);

#endif
