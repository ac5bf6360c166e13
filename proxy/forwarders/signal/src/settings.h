/* What the environment says: whether to do anything, and where the sidecar takes calls. */
#ifndef THROUGHLINE_SETTINGS_H
#define THROUGHLINE_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

struct sockaddr;

/* Reads the environment the first time. False: this process is to be left alone. */
bool settings_are_on(void);

/* The file that is shared with the sidecar. */
const char *settings_file(void);

/* The port of this address, where the sidecar takes calls at it; else 0. */
uint16_t settings_lead_to_sidecar(const struct sockaddr *address, uint32_t length);

/* A line on standard error, when that is asked for. */
void settings_debug(const char *what, uint32_t number);

#endif
