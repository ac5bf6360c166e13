/* An address of a TCP socket, as an IPv6 one; an IPv4 address is mapped into that. */
#ifndef THROUGHLINE_ADDRESS_H
#define THROUGHLINE_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct address {
    uint8_t bytes[16];
    uint16_t port;
};

static inline void address_mapped(struct address *address, const uint8_t *four) {
    for (int i = 0; i < 10; i++) address->bytes[i] = 0;
    address->bytes[10] = address->bytes[11] = 0xff;
    for (int i = 0; i < 4; i++) address->bytes[12 + i] = four[i];
}

static inline void address_loopback(struct address *address) {
    static const uint8_t four[] = {127, 0, 0, 1};
    address_mapped(address, four);
}

/* False where it is no address of the internet. `from` may be aligned anyhow. */
static inline bool address_read(struct address *address, const void *from, uint32_t length) {
    const uint8_t *bytes = from;
    if (bytes == NULL || length < sizeof(sa_family_t)) return false;
    sa_family_t family;
    for (size_t i = 0; i < sizeof family; i++) ((uint8_t *)&family)[i] = bytes[i];
    if (family == AF_INET && length >= sizeof(struct sockaddr_in)) {
        address_mapped(address, bytes + offsetof(struct sockaddr_in, sin_addr));
    } else if (family == AF_INET6 && length >= offsetof(struct sockaddr_in6, sin6_scope_id)) {
        for (int i = 0; i < 16; i++) address->bytes[i] = bytes[offsetof(struct sockaddr_in6, sin6_addr) + i];
    } else {
        return false;
    }
    address->port = (uint16_t)(bytes[2] << 8 | bytes[3]);
    return true;
}

static inline bool address_same_host(const struct address *a, const struct address *b) {
    for (int i = 0; i < 16; i++)
        if (a->bytes[i] != b->bytes[i]) return false;
    return true;
}

static inline bool address_is_ipv4(const struct address *address) {
    for (int i = 0; i < 10; i++)
        if (address->bytes[i] != 0) return false;
    return address->bytes[10] == 0xff && address->bytes[11] == 0xff;
}

static inline bool address_is_one(const struct address *address) {
    for (int i = 0; i < 15; i++)
        if (address->bytes[i] != 0) return false;
    return address->bytes[15] == 1;
}

/* Any address that stays on this machine. */
static inline bool address_is_local(const struct address *address) {
    return address_is_ipv4(address) ? address->bytes[12] == 127 : address_is_one(address);
}

/* `127.0.0.1` or `[::1]`, which are the same host to whoever writes a configuration. */
static inline bool address_is_the_loopback(const struct address *address) {
    struct address loopback;
    address_loopback(&loopback);
    return address_same_host(address, &loopback) || address_is_one(address);
}

#endif
