#include "frames.h"

#include <stdlib.h>

PyObject *appended(PyObject *list, const uint8_t *data, size_t size) {
    PyObject *bytes = PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)size);
    if (bytes == NULL || PyList_Append(list, bytes) < 0) {
        Py_CLEAR(list);
    }
    Py_XDECREF(bytes);
    return list;
}

static bool open_frames(Frames *frames) {
    Py_ssize_t count = PyList_Size(frames->list);
    frames->frames = calloc((size_t)count + 1, sizeof *frames->frames);
    if (frames->frames == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (; frames->count < (size_t)count; frames->count++) {
        PyObject *frame = PyList_GetItem(frames->list, (Py_ssize_t)frames->count);
        if (PyObject_GetBuffer(frame, &frames->frames[frames->count], PyBUF_SIMPLE) < 0) {
            return false;
        }
    }
    return true;
}

bool compress_all(Frames *frames, PyObject *list, PyObject *compress, bool fast) {
    if (list == NULL) {
        return false;
    }
    Py_ssize_t expected = PyList_Size(list);
    PyObject *result = list;
    if (expected > 0) {
        result = PyObject_CallFunction(compress, "OO", list, fast ? Py_True : Py_False);
        Py_DECREF(list);
    }
    frames->list = result == NULL ? NULL : PySequence_List(result);
    Py_XDECREF(result);
    if (frames->list == NULL) {
        return false;
    }
    if (PyList_Size(frames->list) != expected) {
        PyErr_SetString(PyExc_ValueError, "not as many are compressed as there were");
        return false;
    }
    return open_frames(frames);
}

void free_frames(Frames *frames) {
    for (size_t i = 0; i < frames->count; i++) {
        PyBuffer_Release(&frames->frames[i]);
    }
    free(frames->frames);
    Py_XDECREF(frames->list);
}
