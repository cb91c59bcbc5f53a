/* The extension module `runstream_server._native`; what its functions do is in `_native.pyi`. */

#include "batch.h"
#include "curves.h"
#include "packing.h"

static PyMethodDef methods[] = {
    {"encode_curves", encode_curves, METH_VARARGS, NULL},
    {"read_batch", read_batch, METH_O, NULL},
    {"gather", gather, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_native",
    .m_size = 0,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__native(void) {
    make_checksum_tables();
    return PyModule_Create(&definition);
}
