#include "settings.h"

#include <netinet/in.h>
#include <stdatomic.h>

#include "address.h"
#include "system.h"

/* The environment itself: `getenv` may be somebody's own. Both libcs have it under this name. */
extern char **environ __attribute__((weak));

enum { UNREAD, BEING_READ, OFF, ON };

#define MOST_ADDRESSES 16

static _Atomic int state = UNREAD;
/* A copy: programs that write their title for `ps` write over where the environment was. */
static char file[4096];
static bool debug;
static struct {
    struct address address;
    bool is_loopback;
} via[MOST_ADDRESSES];
static int addresses;

static const char *variable(const char *name) {
    for (char **entry = environ; *entry != NULL; entry++) {
        const char *a = *entry, *b = name;
        while (*b != '\0' && *a == *b) a++, b++;
        if (*b == '\0' && *a == '=') return a + 1;
    }
    return NULL;
}

static bool is(const char *value, const char *word) {
    if (value == NULL) return false;
    while (*word != '\0' && *value == *word) value++, word++;
    return *word == '\0' && *value == '\0';
}

/* A number up to `most` that ends at `end`; -1 where it is none. */
static int number(const char *from, const char *end, int most) {
    int value = 0;
    if (from == end) return -1;
    for (; from < end; from++) {
        if (*from < '0' || *from > '9') return -1;
        value = value * 10 + (*from - '0');
        if (value > most) return -1;
    }
    return value;
}

static bool ipv4(const char *from, const char *end, uint8_t *into) {
    for (int part = 0; part < 4; part++) {
        const char *dot = from;
        while (dot < end && *dot != '.') dot++;
        if ((part < 3) != (dot < end)) return false;
        int value = number(from, dot, 255);
        if (value < 0) return false;
        into[part] = (uint8_t)value;
        from = dot + 1;
    }
    return true;
}

static int hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* An address as RFC 4291 section 2.2 writes it, without a dotted tail. */
static bool ipv6(const char *from, const char *end, uint8_t *into) {
    uint8_t bytes[16];
    int length = 0, gap = -1;
    if (end - from >= 2 && from[0] == ':' && from[1] == ':') gap = 0, from += 2;
    while (from < end) {
        int value = 0, digits = 0;
        for (; from < end && hex(*from) >= 0; from++, digits++) value = value * 16 + hex(*from);
        if (digits < 1 || digits > 4 || length > 14) return false;
        bytes[length++] = (uint8_t)(value >> 8);
        bytes[length++] = (uint8_t)value;
        if (from == end) break;
        if (*from++ != ':' || from == end) return false;
        if (*from != ':') continue;
        if (gap >= 0) return false;
        gap = length;
        from++;
    }
    if (gap < 0 ? length != 16 : length > 14) return false;
    if (gap < 0) gap = length;
    for (int i = 0; i < 16; i++) {
        int tail = i - (16 - (length - gap));
        into[i] = i < gap ? bytes[i] : tail >= 0 ? bytes[gap + tail] : 0;
    }
    return true;
}

static void add(const char *from, const char *end) {
    while (from < end && *from == ' ') from++;
    while (end > from && end[-1] == ' ') end--;
    const char *colon = end;
    while (colon > from && *colon != ':') colon--;
    int port = number(colon + 1, end, 65535);
    if (colon == from || colon == end || port <= 0 || addresses == MOST_ADDRESSES) return;

    struct address address = {.port = (uint16_t)port};
    static const char localhost[] = "localhost";
    bool named = colon - from == (long)sizeof localhost - 1;
    for (int i = 0; named && i < (int)sizeof localhost - 1; i++) named = (from[i] | 0x20) == localhost[i];
    if (named) {
        address_loopback(&address);
    } else if (*from == '[' && colon[-1] == ']') {
        if (!ipv6(from + 1, colon - 1, address.bytes)) return;
    } else {
        uint8_t four[4];
        if (!ipv4(from, colon, four)) return;
        address_mapped(&address, four);
    }
    via[addresses].address = address;
    via[addresses].is_loopback = address_is_the_loopback(&address);
    addresses++;
}

static int read_environment(void) {
    const char *list = variable("THROUGHLINE_FORWARD_VIA");
    const char *name = variable("THROUGHLINE_SIGNAL");
    debug = is(variable("THROUGHLINE_FORWARD_DEBUG"), "1");
    if (is(variable("THROUGHLINE_FORWARD"), "off")) return OFF;
    if (list == NULL || name == NULL || *name == '\0') return OFF;
    for (size_t i = 0; (file[i] = name[i]) != '\0'; i++)
        if (i == sizeof file - 1) return OFF;
    while (*list != '\0') {
        const char *end = list;
        while (*end != '\0' && *end != ',') end++;
        add(list, end);
        list = *end == ',' ? end + 1 : end;
    }
    return addresses > 0 ? ON : OFF;
}

bool settings_are_on(void) {
    int now = atomic_load_explicit(&state, memory_order_acquire);
    /* Before libc has set itself up there is no environment yet. */
    if (now == UNREAD && (&environ == NULL || environ == NULL)) return false;
    if (now == UNREAD && atomic_compare_exchange_strong(&state, &now, BEING_READ)) {
        now = read_environment();
        atomic_store_explicit(&state, now, memory_order_release);
    }
    return now == ON;
}

const char *settings_file(void) { return file; }

uint16_t settings_lead_to_sidecar(const struct sockaddr *to, uint32_t length) {
    struct address address;
    if (!address_read(&address, to, length)) return 0;
    bool loopback = address_is_the_loopback(&address);
    for (int i = 0; i < addresses; i++) {
        if (via[i].address.port != address.port) continue;
        if (via[i].is_loopback ? loopback : address_same_host(&via[i].address, &address)) return address.port;
    }
    return 0;
}

void settings_debug(const char *what, uint32_t value) {
    if (!debug) return;
    char line[160];
    size_t length = 0;
    static const char name[] = "throughline signal: ";
    for (const char *c = name; *c != '\0'; c++) line[length++] = *c;
    for (; *what != '\0' && length < sizeof line - 14; what++) line[length++] = *what;
    char digits[10];
    int count = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    line[length++] = ' ';
    while (count > 0) line[length++] = digits[--count];
    line[length++] = '\n';
    SYSTEM_CALL(write, 2, line, length, 0, 0, 0);
}
