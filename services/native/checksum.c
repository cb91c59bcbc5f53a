/* CRC-32, sixteen bytes at a time. */

#include "packing.h"

#include <string.h>

enum { AT_ONCE = 16, BYTES = 256 };

static uint32_t tables[AT_ONCE][BYTES];

void make_checksum_tables(void) {
    for (uint32_t byte = 0; byte < BYTES; byte++) {
        uint32_t sum = byte;
        for (int bit = 0; bit < 8; bit++) {
            sum = (sum & 1 ? 0xEDB88320u : 0) ^ sum >> 1;
        }
        tables[0][byte] = sum;
    }
    for (int table = 1; table < AT_ONCE; table++) {
        for (int byte = 0; byte < BYTES; byte++) {
            uint32_t sum = tables[table - 1][byte];
            tables[table][byte] = sum >> 8 ^ tables[0][sum & 0xFF];
        }
    }
}

uint32_t checksum_of(const uint8_t *data, size_t size) {
    uint32_t sum = UINT32_MAX;
    for (; size >= AT_ONCE; size -= AT_ONCE, data += AT_ONCE) {
        uint64_t low, high;
        memcpy(&low, data, sizeof low);
        memcpy(&high, data + sizeof low, sizeof high);
        low ^= sum;
        sum = 0;
        for (int place = 0; place < 8; place++) {
            sum ^= tables[15 - place][low >> 8 * place & 0xFF] ^ tables[7 - place][high >> 8 * place & 0xFF];
        }
    }
    for (; size > 0; size--, data++) {
        sum = sum >> 8 ^ tables[0][(sum ^ *data) & 0xFF];
    }
    return ~sum;
}
