#include "head.h"

#include "connections.h"

/* `PROPFIND` and the like have 8 letters, `VERSION-CONTROL` has 15. */
#define LONGEST_METHOD 16
/* A longer head is not read to its end. */
#define LONGEST_HEAD 16384

bool head_is_foreign(const char *bytes, size_t length) {
    if (length >= 2 && bytes[0] == 0x16 && bytes[1] == 0x03) return true;
    return length >= 4 && bytes[0] == 'P' && bytes[1] == 'R' && bytes[2] == 'I' && bytes[3] == ' ';
}

bool head_begins_request(const char *bytes, size_t length) {
    size_t at = 0;
    while (at < length && at < LONGEST_METHOD && ((bytes[at] >= 'A' && bytes[at] <= 'Z') || bytes[at] == '-'))
        at++;
    return at >= 3 && at < length && bytes[at] == ' ' && !head_is_foreign(bytes, length);
}

static bool starts(const char *bytes, size_t length, const char *lower) {
    size_t at = 0;
    for (; lower[at] != '\0'; at++) {
        if (at >= length) return false;
        char c = bytes[at];
        if (c >= 'A' && c <= 'Z') c = (char)(c | 0x20);
        if (c != lower[at]) return false;
    }
    return true;
}

bool head_is_interim(const char *bytes, size_t length) {
    /* `HTTP/1.1 100 Continue`; after 101 there is no HTTP any more. */
    return length >= 12 && starts(bytes, length, "http/1.") && bytes[8] == ' ' && bytes[9] == '1' &&
           !(bytes[10] == '0' && bytes[11] == '1');
}

bool head_asks_for_websocket(const char *bytes, size_t length) {
    for (size_t at = 0; at < length && at < LONGEST_HEAD; at++)
        if (bytes[at] == '\n' && starts(bytes + at, length - at, "\nupgrade: websocket")) return true;
    return false;
}

uint64_t head_rest(const char *bytes, size_t length) {
    static const char content_length[] = "\ncontent-length:";
    uint64_t body = 0;
    bool is_told = false;
    size_t most = length < LONGEST_HEAD ? length : LONGEST_HEAD;
    for (size_t at = 0; at + 2 < most; at++) {
        if (bytes[at] != '\n') continue;
        if (bytes[at + 1] == '\r' && bytes[at + 2] == '\n') {
            uint64_t here = length - (at + 3);
            return here <= body ? body - here : UNKNOWN;
        }
        const char *line = bytes + at;
        size_t left = most - at;
        if (starts(line, left, "\ntransfer-encoding:")) return UNKNOWN;
        if (!starts(line, left, content_length)) continue;
        size_t digit = sizeof content_length - 1;
        if (is_told) return UNKNOWN;
        is_told = true;
        while (digit < left && line[digit] == ' ') digit++;
        for (; digit < left && line[digit] >= '0' && line[digit] <= '9'; digit++) {
            body = body * 10 + (uint64_t)(line[digit] - '0');
            if (body > UINT64_MAX / 100) return UNKNOWN;
        }
        if (digit >= left || line[digit] != '\r') return UNKNOWN;
    }
    return UNKNOWN;
}
