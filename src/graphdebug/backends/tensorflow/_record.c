/* Lines of eager TensorFlow ops, filled into stencils; and the module. (What runs at every op: _record_clerk.c.)
 *
 * Plain C against Python's stable ABI, not linked against TensorFlow. eager.py does the same in Python where this was not
 * built, and takes over wherever something is unusual.
 */
#include "_record.h"

FOR_WORDS(DEFINE)

/* ---- Keys: what the line of a node depends on besides numbers, times and statistics. ---- */

#define WAYS 8 /* stencils of one key that differ in attributes */
enum { W_TEXT, W_ATTRS, W_ASKED };                   /* of a way */
enum { HAS_ALIAS = 1, HAS_STATS = 2, HAS_PRODUCER = 4 };

static void add(Key *key, PyObject *object) {
    key->words[key->length++] = (uint64_t)(uintptr_t)object;
    key->held[key->holds++] = object;
}

/* Whether a fact has that field; -1 at an error. */
static int has(PyObject *fact, PyObject *name) {
    PyObject *value = PyObject_GetAttr(fact, name);
    int found = value ? value != Py_None : -1;
    Py_XDECREF(value);
    return found;
}

/* Most facts are of their kind and nothing else. */
static int flags_of(PyObject *fact, PyObject *kind) {
    if (fact == kind) return 0;
    int alias = has(fact, ALIAS_OF), stats = has(fact, STATS);
    return alias < 0 || stats < 0 ? -1 : (alias ? HAS_ALIAS : 0) | (stats ? HAS_STATS : 0);
}

int key_of(Key *key, const Execution *it) {
    Py_ssize_t inputs = PyTuple_Size(it->made);
    key->length = key->holds = 0;
    if (inputs + it->count > MOST_TENSORS) return 0;
    PyObject *all[] = {it->op, it->phase, it->site, it->function, it->family, it->module};
    for (int i = 0; i < 6; i++) add(key, all[i]);
    key->words[key->length++] = (uint64_t)(it->forward != Py_None) | (uint64_t)inputs << 8 | (uint64_t)it->count << 16;
    for (Py_ssize_t i = 0; i < inputs; i++) {
        PyObject *made = PyTuple_GetItem(it->made, i), *kind = PyTuple_GetItem(made, M_KIND);
        int flags = kind == Py_None ? -1 : flags_of(PyTuple_GetItem(made, M_FACT), kind);
        if (flags < 0) return PyErr_Occurred() ? -1 : 0;
        if (PyTuple_GetItem(made, M_SEQ) != Py_None) flags |= HAS_PRODUCER;
        add(key, kind);
        add(key, PyTuple_GetItem(made, M_ORIGIN));
        add(key, PyTuple_GetItem(made, M_NAME));
        key->words[key->length++] = (uint64_t)flags | (uint64_t)PyLong_AsLong(PyTuple_GetItem(made, M_OUTPUT)) << 8;
    }
    for (Py_ssize_t i = 0; i < it->count; i++) {
        int flags = flags_of(it->outputs[i].fact, it->outputs[i].kind);
        if (flags < 0) return -1;
        add(key, it->outputs[i].kind);
        key->words[key->length++] = (uint64_t)flags;
    }
    return PyErr_Occurred() ? -1 : key->length;
}

/* ---- Ways: stencils that share a key, told apart by attributes and by the small inputs that those come from. ---- */

static int same_elements(PyObject *tensor, PyObject *bytes) {
    Py_buffer view;
    char *text;
    Py_ssize_t length;
    if (PyBytes_AsStringAndSize(bytes, &text, &length) < 0) return -1;
    if (PyObject_GetBuffer(tensor, &view, PyBUF_SIMPLE) < 0) return forgotten() ? 0 : -1;
    int same = view.len == length && !memcmp(view.buf, text, (size_t)length);
    PyBuffer_Release(&view);
    return same;
}

static int fits(PyObject *way, const Execution *it) {
    PyObject *attrs = PyTuple_GetItem(way, W_ATTRS), *asked = PyTuple_GetItem(way, W_ASKED);
    int same = attrs == Py_None ? 1 : equal(attrs, it->attrs);
    Py_ssize_t count = PyTuple_Size(asked);
    for (Py_ssize_t i = 0; i < count && same > 0; i++) {
        PyObject *pair = PyTuple_GetItem(asked, i);
        PyObject *tensor = PyTuple_GetItem(it->inputs, PyLong_AsSsize_t(PyTuple_GetItem(pair, 0)));
        same = tensor ? same_elements(tensor, PyTuple_GetItem(pair, 1)) : -1;
    }
    return same;
}

PyObject *stencil_of(Stencils *self, const Key *key, const Execution *it) {
    PyObject *ways = table_get(&self->known, key->words, key->length);
    Py_ssize_t count = ways ? PyList_Size(ways) : 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *way = PyList_GetItem(ways, i);
        int same = fits(way, it);
        if (same < 0) return NULL;
        if (same) return way;
    }
    return NULL;
}

int learn_stencil(Stencils *self, const Key *key, PyObject *way) {
    PyObject *ways = table_get(&self->known, key->words, key->length);
    if (ways) {
        if (PyList_Insert(ways, 0, way) < 0) return -1;
        return PyList_Size(ways) > WAYS ? PyList_SetSlice(ways, WAYS, WAYS + 1, NULL) : 0;
    }
    PyObject *held = PyTuple_New(key->holds);
    for (int i = 0; held && i < key->holds; i++) PyTuple_SetItem(held, i, kept(key->held[i]));
    ways = held ? PyList_New(0) : NULL;
    if (!ways || PyList_Append(ways, way) < 0) {
        Py_XDECREF(held);
        Py_XDECREF(ways);
        return -1;
    }
    return table_put(&self->known, key->words, key->length, ways, held);
}

/* ---- Lines. ---- */

/* The texts of the statistics that a line has, in order; NULL for facts without. Encoding may run Python, where another thread
 * may add lines: so it comes first. Returns how many there are, -1 at an error. */
static int texts_of(Stencils *self, const Execution *it, PyObject **texts) {
    Py_ssize_t inputs = PyTuple_Size(it->made);
    int count = 0;
    for (Py_ssize_t i = 0; i < inputs + it->count; i++) {
        PyObject *made = i < inputs ? PyTuple_GetItem(it->made, i) : NULL;
        const Known *output = made ? NULL : &it->outputs[i - inputs];
        PyObject *fact = made ? PyTuple_GetItem(made, M_FACT) : output->fact;
        PyObject *stats = fact == (made ? PyTuple_GetItem(made, M_KIND) : output->kind) ? NULL : PyObject_GetAttr(fact, STATS);
        texts[count++] = !stats || stats == Py_None ? NULL
                         : output && output->text ? kept(output->text)
                                                  : PyObject_CallFunctionObjArgs(self->encode, stats, NULL);
        Py_XDECREF(stats);
        if (PyErr_Occurred()) {
            while (count) Py_XDECREF(texts[--count]);
            return -1;
        }
    }
    return count;
}

/* Fill the holes of one fact: whose memory it shares, its statistics. */
static int write_fact(Text *to, Pen *pen, PyObject *fact, PyObject *kind, PyObject *text) {
    if (fact == kind) return 0;
    PyObject *alias = PyObject_GetAttr(fact, ALIAS_OF);
    int bad = !alias || (alias != Py_None && number_after(to, pen, alias) < 0);
    Py_XDECREF(alias);
    return bad || (text && (piece(to, pen) < 0 || append_bytes(to, text) < 0)) ? -1 : 0;
}

static int begin_line(Stencils *self) { return self->lines.length ? append(&self->lines, "\n", 1) : 0; }

static int fill_line(Stencils *self, const Execution *it, PyObject *stencil, PyObject **texts) {
    Text *to = &self->lines;
    Pen pen;
    Py_ssize_t inputs = PyTuple_Size(it->made);
    int bad = pen_on(&pen, stencil) < 0 || begin_line(self) < 0 || number_after(to, &pen, it->seq) < 0 ||
              number_after(to, &pen, it->step) < 0;
    for (Py_ssize_t i = 0; i < inputs && !bad; i++) {
        PyObject *one = PyTuple_GetItem(it->made, i), *seq = PyTuple_GetItem(one, M_SEQ);
        bad = write_fact(to, &pen, PyTuple_GetItem(one, M_FACT), PyTuple_GetItem(one, M_KIND), texts[i]) < 0 ||
              (seq != Py_None && number_after(to, &pen, seq) < 0);
    }
    for (Py_ssize_t i = 0; i < it->count && !bad; i++)
        bad = write_fact(to, &pen, it->outputs[i].fact, it->outputs[i].kind, texts[inputs + i]) < 0;
    bad = bad || (it->forward != Py_None && number_after(to, &pen, it->forward) < 0) || piece(to, &pen) < 0 ||
          append_seconds(to, it->time) < 0 || piece(to, &pen) < 0;
    return bad ? -1 : 0;
}

int write_line(Stencils *self, const Execution *it, PyObject *way) {
    PyObject *texts[MOST_TENSORS];
    int count = texts_of(self, it, texts);
    if (count < 0) return -1;
    size_t before = self->lines.length;
    int bad = fill_line(self, it, PyTuple_GetItem(way, W_TEXT), texts) < 0;
    if (bad) self->lines.length = before;
    else self->count++;
    while (count) Py_XDECREF(texts[--count]);
    return bad ? -1 : 0;
}

int add_line(Stencils *self, PyObject *line, Py_ssize_t count) {
    size_t before = self->lines.length;
    if (begin_line(self) < 0 || append_bytes(&self->lines, line) < 0) {
        self->lines.length = before;
        return -1;
    }
    self->count += count;
    return 0;
}

/* ---- The module. ---- */

static struct PyModuleDef MODULE_DEF = {PyModuleDef_HEAD_INIT, "_record", NULL, -1, NULL, NULL, NULL, NULL, NULL};

static int make_words(void) {
    FOR_WORDS(MAKE_WORD)
    return make_shared_words();
}

PyMODINIT_FUNC PyInit__record(void) {
    PyObject *module = make_words() < 0 ? NULL : PyModule_Create(&MODULE_DEF);
    if (!module || add_type(module, &WALKER_TYPE, "Walker") < 0 || add_type(module, &CLERK_TYPE, "Clerk") < 0) Py_CLEAR(module);
    return module;
}
