/* Walker: from a frame to the place in the user's code that it stands for. */
#include "_native.h"

enum { OTHER, USER, LIBRARY, MODULE, ENGINE, CHECKPOINT, GENERATED };
#define FRAMES 9

typedef struct {
    PyObject_HEAD
    Table codes; /* code object -> what its frames are */
    Table places;
} Walker;

static long kind_of_code(Walker *self, PyObject *reader, PyObject *code) {
    uint64_t word = (uint64_t)(uintptr_t)code;
    Entry *entry = table_find(&self->codes, hash_of(&word, 1), &word, 1);
    if (entry && entry->hash) return PyLong_AsLong(entry->value);
    PyObject *kind = PyObject_CallMethodObjArgs(reader, CLASSIFY, code, NULL);
    if (!kind) return -1;
    long number = PyLong_AsLong(kind);
    if (number == -1 && PyErr_Occurred()) {
        Py_DECREF(kind);
        return -1;
    }
    Py_INCREF(code);
    return table_put(&self->codes, &word, 1, kind, code) < 0 ? -1 : number;
}

static int add_position(uint64_t *words, int count, PyObject *code, PyObject *frame) {
    PyObject *offset = PyObject_GetAttr(frame, F_LASTI);
    if (!offset) return -1;
    words[2 * count] = (uint64_t)(uintptr_t)code;
    words[2 * count + 1] = (uint64_t)PyLong_AsLongLong(offset);
    Py_DECREF(offset);
    return 0;
}

/* The running module of a module's call; NULL without an error where it can't be told. */
static PyObject *module_of(PyObject *frame) {
    PyObject *locals = PyObject_GetAttr(frame, F_LOCALS), *module = NULL;
    if (locals) module = PyObject_GetItem(locals, SELF);
    if (!module) PyErr_Clear();
    Py_XDECREF(locals);
    return module;
}

/* The place of the frames noted in `words`, made by the reader where they are new. */
static PyObject *place_of(Walker *self, PyObject *reader, const uint64_t *words, int count) {
    uint64_t hash = hash_of(words, 2 * count);
    Entry *entry = table_find(&self->places, hash, words, 2 * count);
    if (entry && entry->hash) {
        Py_INCREF(entry->value);
        return entry->value;
    }
    PyObject *flat = PyList_New(0), *place = NULL;
    for (int i = 0; flat && i < count; i++) {
        PyObject *offset = PyLong_FromLongLong((long long)words[2 * i + 1]);
        if (!offset || PyList_Append(flat, (PyObject *)(uintptr_t)words[2 * i]) < 0 || PyList_Append(flat, offset) < 0)
            Py_CLEAR(flat);
        Py_XDECREF(offset);
    }
    if (flat) place = PyObject_CallMethodObjArgs(reader, MAKE, flat, NULL); /* it holds the code objects */
    Py_XDECREF(flat);
    if (!place) return NULL;
    Py_INCREF(place);
    if (table_put(&self->places, words, 2 * count, place, NULL) < 0) Py_CLEAR(place);
    return place;
}

int walk(PyObject *walker, PyObject *frame, PyObject *reader, PyObject **place, PyObject **module, int *checkpointed) {
    Walker *self = (Walker *)walker;
    uint64_t users[2 * FRAMES], library[2];
    int user = 0, libraries = 0, inside = 1;
    PyObject *running = NULL;
    Py_INCREF(frame);
    while (frame != Py_None) {
        PyObject *code = (PyObject *)PyFrame_GetCode((PyFrameObject *)frame);
        long kind = kind_of_code(self, reader, code);
        Py_DECREF(code); /* held by the table */
        int bad = kind < 0;
        if (kind == USER && user < FRAMES) bad = add_position(users, user++, code, frame) < 0;
        else if (kind == LIBRARY && !libraries) bad = add_position(library, libraries++, code, frame) < 0;
        else if (kind == MODULE && !running && inside) running = module_of(frame);
        else if (kind == ENGINE) inside = 0;
        else if (kind == CHECKPOINT && inside) *checkpointed = 1;
        PyObject *next = bad || kind == GENERATED ? NULL : PyObject_GetAttr(frame, F_BACK);
        Py_DECREF(frame);
        if (!next) {
            Py_XDECREF(running);
            return PyErr_Occurred() ? -1 : 0;
        }
        frame = next;
    }
    Py_DECREF(frame);
    *place = user ? place_of(self, reader, users, user) : place_of(self, reader, library, libraries);
    if (!*place) {
        Py_XDECREF(running);
        return -1;
    }
    if (!running) {
        Py_INCREF(Py_None);
        running = Py_None;
    }
    *module = running;
    return 1;
}

PyObject *innermost(PyObject *walker, PyObject *frame, PyObject *reader, PyObject *boundary, PyObject **reached) {
    Walker *self = (Walker *)walker;
    uint64_t library[2], user[2];
    int libraries = 0, users = 0, bad = 0;
    Py_INCREF(frame);
    while (frame != Py_None && !users && !bad) {
        PyObject *code = (PyObject *)PyFrame_GetCode((PyFrameObject *)frame), *next = NULL;
        Py_DECREF(code); /* held by the table, or the boundary */
        if (code == boundary && !libraries) {
            *reached = frame;
            return NULL;
        }
        long kind = kind_of_code(self, reader, code);
        if (kind == USER) bad = add_position(user, users++, code, frame) < 0;
        else if (kind == LIBRARY && !libraries) bad = add_position(library, libraries++, code, frame) < 0;
        bad = bad || kind < 0 || !(next = PyObject_GetAttr(frame, F_BACK));
        Py_DECREF(frame);
        frame = next;
    }
    Py_XDECREF(frame);
    return bad ? NULL : place_of(self, reader, users ? user : library, users || libraries);
}

static PyObject *walker_read(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    if (nargs != 2) return raise_type("read(frame, reader)"), NULL;
    PyObject *place, *module;
    int checkpointed = 0, found = walk(self, args[0], args[1], &place, &module, &checkpointed);
    if (found < 0) return NULL;
    if (!found) Py_RETURN_NONE;
    PyObject *result = PyTuple_Pack(3, place, module, checkpointed ? Py_True : Py_False);
    Py_DECREF(place);
    Py_DECREF(module);
    return result;
}

static int walker_traverse(Walker *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE((PyObject *)self));
    int answer = table_visit(&self->codes, visit, arg);
    return answer ? answer : table_visit(&self->places, visit, arg);
}

static int walker_clear(Walker *self) {
    table_clear(&self->codes);
    table_clear(&self->places);
    return 0;
}

static PyObject *walker_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)args, (void)kwargs;
    Walker *self = (Walker *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (self) self->codes.most = 20000, self->places.most = 50000;
    return (PyObject *)self;
}

static PyMethodDef WALKER_METHODS[] = {
    {"read", (PyCFunction)(void (*)(void))walker_read, METH_FASTCALL,
     "read(frame, reader) -> (place, module, checkpointed), or None where a frame has to be read in Python."},
    {NULL, NULL, 0, NULL}};
static PyType_Slot WALKER_SLOTS[] = {{Py_tp_new, walker_new},           {Py_tp_dealloc, freed},
                                     {Py_tp_traverse, walker_traverse}, {Py_tp_clear, walker_clear},
                                     {Py_tp_methods, WALKER_METHODS},   {0, NULL}};
PyType_Spec WALKER_TYPE = {"graphdebug.backends._native.Walker", sizeof(Walker), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, WALKER_SLOTS};

