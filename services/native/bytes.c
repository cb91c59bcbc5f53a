#include "bytes.h"

#include <stdlib.h>
#include <string.h>

static bool make_room(Bytes *bytes, size_t size) {
    if (!bytes->failed && bytes->room - bytes->size < size) {
        size_t room = 2 * (bytes->size + size);
        uint8_t *data = realloc(bytes->data, room);
        if (data == NULL) {
            bytes->failed = true;
        } else {
            bytes->data = data;
            bytes->room = room;
        }
    }
    return !bytes->failed;
}

uint8_t *extend(Bytes *bytes, size_t size) {
    if (!make_room(bytes, size)) {
        return NULL;
    }
    bytes->size += size;
    return bytes->data + bytes->size - size;
}

void put(Bytes *bytes, const void *data, size_t size) {
    uint8_t *place = extend(bytes, size);
    if (place != NULL) {
        memcpy(place, data, size);
    }
}

void put_u8(Bytes *bytes, uint8_t value) { put(bytes, &value, sizeof value); }

void put_u32(Bytes *bytes, uint32_t value) { put(bytes, &value, sizeof value); }

void put_i64(Bytes *bytes, int64_t value) { put(bytes, &value, sizeof value); }
