/* Tables from some machine words to an object, and what else every part of a compiled recorder needs. */
#include "_native.h"

FOR_SHARED_WORDS(DEFINE)

int equal(PyObject *one, PyObject *other) {
    return one == other ? 1 : PyObject_RichCompareBool(one, other, Py_EQ);
}

int raise_type(const char *text) {
    PyErr_SetString(PyExc_TypeError, text);
    return -1;
}

int forgotten(void) {
    if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_Exception)) return 0;
    PyErr_Clear();
    return 1;
}

void freed(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    ((inquiry)PyType_GetSlot(type, Py_tp_clear))(self);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

PyObject *kept(PyObject *object) {
    Py_XINCREF(object);
    return object;
}

PyObject *untracked(PyObject *object) {
    if (object) PyObject_GC_UnTrack(object);
    return object;
}

PyObject *attributes_of(PyObject *object) { return PyObject_GenericGetDict(object, NULL); }

int is_true(PyObject *attributes, PyObject *name) {
    PyObject *value = PyDict_GetItemWithError(attributes, name);
    return value ? PyObject_IsTrue(value) : -1;
}

int add_type(PyObject *module, PyType_Spec *spec, const char *name) {
    PyObject *type = PyType_FromSpec(spec);
    if (type && PyModule_AddObject(module, name, type) == 0) return 0;
    Py_XDECREF(type);
    return -1;
}

int make_shared_words(void) {
    FOR_SHARED_WORDS(MAKE_WORD)
    return 0;
}

/* ---- The table. ---- */

static uint64_t mixed(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return hash ^ (hash >> 29);
}

void table_clear(Table *table) {
    Entry *entries = table->entries;
    size_t size = table->size;
    table->entries = NULL;
    table->size = table->used = 0;
    for (size_t i = 0; i < size; i++) {
        free(entries[i].words);
        Py_XDECREF(entries[i].value);
        Py_XDECREF(entries[i].held);
    }
    free(entries);
}

int table_visit(Table *table, visitproc visit, void *arg) {
    for (size_t i = 0; i < table->size; i++) {
        Py_VISIT(table->entries[i].value);
        Py_VISIT(table->entries[i].held);
    }
    return 0;
}

uint64_t hash_of(const uint64_t *words, Py_ssize_t length) {
    uint64_t hash = 1;
    for (Py_ssize_t i = 0; i < length; i++) hash = mixed(hash, words[i]);
    return hash ? hash : 1;
}

Entry *table_find(Table *table, uint64_t hash, const uint64_t *words, Py_ssize_t length) {
    if (!table->size) return NULL;
    for (size_t i = hash & (table->size - 1);; i = (i + 1) & (table->size - 1)) {
        Entry *entry = &table->entries[i];
        if (!entry->hash) return entry;
        if (entry->hash == hash && entry->length == length && !memcmp(entry->words, words, 8 * (size_t)length))
            return entry;
    }
}

static int table_grow(Table *table) {
    size_t size = table->size ? 2 * table->size : 64;
    Entry *entries = calloc(size, sizeof(Entry)), *old = table->entries;
    if (!entries) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < table->size; i++) {
        if (!old[i].hash) continue;
        size_t at = old[i].hash & (size - 1);
        while (entries[at].hash) at = (at + 1) & (size - 1);
        entries[at] = old[i];
    }
    free(old);
    table->entries = entries;
    table->size = size;
    return 0;
}

int table_put(Table *table, const uint64_t *words, Py_ssize_t length, PyObject *value, PyObject *held) {
    uint64_t hash = hash_of(words, length);
    Entry *entry = NULL;
    uint64_t *copy = malloc(8 * (size_t)(length ? length : 1));
    if (table->used >= table->most) table_clear(table);
    if (copy && (2 * table->used < table->size || !table_grow(table))) entry = table_find(table, hash, words, length);
    if (!entry) {
        free(copy);
        Py_XDECREF(value);
        Py_XDECREF(held);
        if (!PyErr_Occurred()) PyErr_NoMemory();
        return -1;
    }
    memcpy(copy, words, 8 * (size_t)length);
    Entry old = *entry;
    *entry = (Entry){hash, length, copy, value, held};
    if (!old.hash) table->used++;
    free(old.words);
    Py_XDECREF(old.value);
    Py_XDECREF(old.held);
    return 0;
}

PyObject *table_get(Table *table, const uint64_t *words, Py_ssize_t length) {
    Entry *entry = table_find(table, hash_of(words, length), words, length);
    return entry && entry->hash ? entry->value : NULL;
}
