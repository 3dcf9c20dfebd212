/* The record of an op: what is known before it runs, and what of its result.
 *
 * Stands in for `_before` and `_after` (eager.py). Where something is unusual `open` and `close` return None, and Python
 * does it from the start: what they changed until then is the same when done twice.
 */
#include "_record.h"

enum { SINK, THREADS, MADE, PATHS, WALKER, READER, TENSOR, MARK, ENGINE_CALL, NEXT_SEQ, NODE_OF, NUMBER_OF, TASK_OF, CLOCK, LOOK,
       QUICK, KINDS, RAWS, APPEND, WATCHERS, HELD };

typedef struct {
    PyObject_HEAD
    PyObject *held[HELD];
} Clerk;

static int is_true(PyObject *object, PyObject *name) {
    PyObject *value = PyObject_GetAttr(object, name);
    int answer = value ? PyObject_IsTrue(value) : -1;
    Py_XDECREF(value);
    return answer;
}

static PyObject *kept(PyObject *object) {
    Py_XINCREF(object);
    return object;
}

/* Records and traces form no cycles: the garbage collector need not visit them, nor be called more often for them. */
static PyObject *untracked(PyObject *object) {
    if (object) PyObject_GC_UnTrack(object);
    return object;
}

/* None, for Python to do it, also after an error; but what is no error of ours, as an interrupt, goes on. */
static PyObject *ask_python(void) {
    if (!forgotten()) return NULL;
    Py_RETURN_NONE;
}

/* What is known of a tensor, also if it was written since; NULL if nothing is. */
static PyObject *known_of(PyObject *tensor, PyObject *made) {
    PyObject *key = PyLong_FromVoidPtr(tensor);
    PyObject *trace = key ? PyDict_GetItemWithError(made, key) : NULL;
    Py_XDECREF(key);
    PyObject *way = trace ? PyTuple_GetItem(trace, T_WAY) : NULL, *back;
    if (!way) return NULL;
    if (Py_TYPE(way) == &_PyWeakref_RefType) return PyWeakref_GetObject(way) == tensor ? kept(trace) : NULL;
    Py_INCREF(trace);
    back = PyObject_CallNoArgs(way); /* a parameter: through its module */
    Py_XDECREF(back);
    if (back != tensor) Py_CLEAR(trace);
    return trace;
}

/* The trace of a tensor if it is known as it now is, else NULL. */
static PyObject *trace_of(PyObject *tensor, PyObject *made) {
    PyObject *trace = known_of(tensor, made), *version = trace ? PyObject_GetAttr(tensor, VERSION) : NULL;
    if (!version) {
        Py_XDECREF(trace);
        return NULL;
    }
    int same = PyLong_AsLongLong(version) == PyLong_AsLongLong(PyTuple_GetItem(trace, T_VERSION));
    Py_DECREF(version);
    if (!same) Py_CLEAR(trace);
    return trace;
}

/* ---- Opening a record. ---- */

typedef struct {
    PyObject **held, *recorder, *op, *args, *kwargs, *frame;
    PyObject *thread, *ident, *phase, *place, *module, *path, *traces, *statics, *forward, *name, *leaf, *seq, *adding; /* owned, or NULL */
    /* `adding` is the autograd node that adds to a leaf's gradient */

} Opening;

static void forget(Opening *it) {
    PyObject *all[] = {it->thread,  it->ident,   it->phase, it->place, it->module, it->path, it->traces,
                       it->statics, it->forward, it->name,  it->leaf,  it->seq,     it->adding};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) Py_XDECREF(all[i]);
}

/* Whether the op is to be recorded as one of the running step. */
static int is_usual(Opening *it) {
    it->ident = PyLong_FromUnsignedLong(PyThread_get_thread_ident());
    it->thread = it->ident ? kept(PyDict_GetItemWithError(it->held[THREADS], it->ident)) : NULL;
    if (!it->thread || is_true(it->thread, MUTED) || is_true(it->op, ENDS_STEP)) return 0;
    if (is_true(it->recorder, STEP_ENDED) && is_true(it->thread, OPTIMIZING) != 1) return 0;
    return is_true(it->held[SINK], RECORDING) == 1;
}

static int read_stack(Opening *it, PyObject *phase, PyObject *checkpointed) {
    PyObject *found = walk(it->held[WALKER], it->frame, it->held[READER]);
    int whole = found && found != Py_None;
    if (whole) {
        it->place = kept(PyTuple_GetItem(found, 0));
        it->module = kept(PyTuple_GetItem(found, 1));
        it->phase = kept(PyTuple_GetItem(found, 2) == Py_True ? checkpointed : phase);
    }
    Py_XDECREF(found);
    return whole;
}

/* Whether an op comes straight from the engine, not from code of the user's that it calls. */
static int is_engines(Opening *it) {
    if (it->frame == Py_None) return 1;
    PyObject *code = (PyObject *)PyFrame_GetCode((PyFrameObject *)it->frame);
    Py_XDECREF(code);
    return code == it->held[ENGINE_CALL];
}

/* Where the running backward was called. */
static PyObject *backward_place(Opening *it) {
    PyObject *task = PyObject_CallNoArgs(it->held[TASK_OF]), *known = PyObject_GetAttr(it->thread, ENGINE_TASK), *place = NULL;
    if (task && known)
        place = equal(task, known) == 1 ? PyObject_GetAttr(it->thread, ENGINE_PLACE)
                                        : PyObject_CallMethodObjArgs(it->recorder, PLACE_OF_BACKWARD, it->thread, it->frame, NULL);
    Py_XDECREF(task);
    Py_XDECREF(known);
    return place;
}

/* Name and forward node of an autograd node that begins to run. */
static int enter_node(Opening *it, PyObject *node, PyObject *number) {
    PyObject *owners = PyObject_GetAttr(it->thread, OWNERS);
    it->name = PyObject_CallMethodObjArgs(node, NAME_OF, NULL);
    it->forward = owners ? kept(PyDict_GetItemWithError(owners, number)) : NULL;
    if (!it->forward && it->name)
        it->forward = PyObject_CallMethodObjArgs(it->recorder, OWNER_ELSEWHERE, number, it->name, NULL);
    Py_XDECREF(owners);
    return it->name && it->forward && PyObject_SetAttr(it->thread, NODE_NAME, it->name) == 0 &&
           PyObject_SetAttr(it->thread, NODE_FORWARD, it->forward) == 0 && PyObject_SetAttr(it->thread, NODE, number) == 0;
}

static int read_backward(Opening *it, PyObject *node) {
    PyObject *number = PyObject_CallMethodObjArgs(node, SEQUENCE_NR, NULL), *last = PyObject_GetAttr(it->thread, NODE);
    int done = number && last;
    if (done && equal(number, last) == 1) {
        it->name = PyObject_GetAttr(it->thread, NODE_NAME);
        it->forward = PyObject_GetAttr(it->thread, NODE_FORWARD);
        done = it->name && it->forward;
    } else if (done && PyLong_AsUnsignedLongLong(number) >> 63) { /* AccumulateGrad has no number of its own */
        it->name = kept(ACCUMULATE_GRAD);
        it->adding = kept(node);
    } else {
        done = done && enter_node(it, node, number);
    }
    Py_XDECREF(number);
    Py_XDECREF(last);
    if (!done) return 0;
    if (!is_engines(it)) return read_stack(it, BACKWARD_CALLED, RECOMPUTE);
    it->phase = kept(BACKWARD);
    it->place = backward_place(it);
    return it->place != NULL;
}

/* Find the phase and the place, and what goes with them. */
static int read_phase(Opening *it) {
    PyObject *node = PyObject_CallNoArgs(it->held[NODE_OF]);
    if (node && node != Py_None) {
        int done = read_backward(it, node);
        Py_DECREF(node);
        return done;
    }
    Py_XDECREF(node);
    if (!node) return 0;
    PyObject *running = PyObject_GetAttr(it->held[SINK], RUNNING_PHASE);
    int optimizing = running && (is_true(it->thread, OPTIMIZING) == 1 || equal(running, OPTIMIZER) == 1);
    Py_XDECREF(running);
    if (!running) return 0;
    if (!optimizing) return read_stack(it, FORWARD, CHECKPOINTED);
    it->phase = kept(OPTIMIZER);
    it->place = PyObject_GetAttr(it->thread, PLACE_OF_STEP);
    return it->place && it->place != Py_None;
}

/* The path of the running module; not that of one seen for the first time. */
static int find_path(Opening *it) {
    it->path = PyObject_GetAttr(it->held[SINK], RUNNING_MODULE);
    if (!it->path) return 0;
    if (!it->module || it->module == Py_None || equal(it->path, NO_TEXT) != 1) return 1;
    PyObject *key = PyLong_FromVoidPtr(it->module);
    PyObject *known = key ? PyDict_GetItemWithError(it->held[PATHS], key) : NULL;
    Py_XDECREF(key);
    if (!known || PyWeakref_GetObject(PyTuple_GetItem(known, 0)) != it->module) return 0;
    Py_DECREF(it->path);
    it->path = kept(PyTuple_GetItem(known, 1));
    return it->path != NULL;
}

static int is_plain(PyObject *value) { return PyLong_Check(value) || PyFloat_Check(value); }

/* What is kept of an argument; its trace, if it is a tensor, goes into `traces`. NULL where Python is to take it. */
static PyObject *taken(Opening *it, PyObject *one) {
    if (PyObject_TypeCheck(one, (PyTypeObject *)it->held[TENSOR])) {
        PyObject *trace = trace_of(one, it->held[MADE]);
        int bad = !trace || PyList_Append(it->traces, trace) < 0;
        Py_XDECREF(trace);
        return bad ? NULL : kept(it->held[MARK]);
    }
    if (PyTuple_Check(one) || PyDict_Check(one)) return NULL;
    if (!PyList_CheckExact(one)) return kept(one);
    Py_ssize_t length = PyList_Size(one);
    for (Py_ssize_t i = 0; i < length; i++) {
        PyObject *inner = PyList_GetItem(one, i);
        if (!inner || !is_plain(inner)) return NULL; /* of tensors: in Python */
    }
    return PyList_GetSlice(one, 0, length);
}

/* The arguments given by keyword, where they are plain. */
static PyObject *taken_keywords(Opening *it) {
    PyObject *key, *value;
    for (Py_ssize_t at = 0; PyDict_Next(it->kwargs, &at, &key, &value);)
        if (PyObject_TypeCheck(value, (PyTypeObject *)it->held[TENSOR]) || PyList_Check(value) || PyTuple_Check(value))
            return NULL;
    return PyDict_Copy(it->kwargs);
}

static int take_arguments(Opening *it) {
    Py_ssize_t count = PyTuple_Size(it->args), keywords = PyDict_Size(it->kwargs);
    if (count < 0 || keywords < 0) return 0;
    it->traces = untracked(PyList_New(0));
    it->statics = untracked(PyList_New(count + (keywords > 0)));
    if (!it->traces || !it->statics) return 0;
    for (Py_ssize_t i = 0; i < count + (keywords > 0); i++) {
        PyObject *one = i < count ? taken(it, PyTuple_GetItem(it->args, i)) : taken_keywords(it);
        if (!one) return 0;
        PyList_SetItem(it->statics, i, one);
    }
    return 1;
}

/* Remember which memory the op writes. */
static int note_writes(Opening *it, PyObject *owners, PyObject *number) {
    PyObject *done = PyObject_CallMethodObjArgs(it->recorder, NOTE_WRITES, it->op, it->seq, it->args, it->kwargs, NULL);
    PyObject *before = PyLong_FromLongLong(PyLong_AsLongLong(number) - 1);
    if (done && before && !PyDict_GetItemWithError(owners, before)) {
        Py_DECREF(done);
        done = PyObject_CallMethodObjArgs(it->recorder, CLAIM_FROM_COPY, it->thread, number, it->seq, it->traces, NULL);
    }
    Py_XDECREF(before);
    Py_XDECREF(done);
    return done != NULL;
}

/* The node takes its number, and owns the autograd nodes numbered since the one before. */
static int take_number(Opening *it) {
    if (it->adding) it->leaf = PyObject_CallMethodObjArgs(it->recorder, ACCUMULATED, it->adding, NULL);
    if (it->adding && !it->leaf) return 0;
    it->seq = PyObject_CallNoArgs(it->held[NEXT_SEQ]);
    PyObject *next = PyObject_CallNoArgs(it->held[NUMBER_OF]), *last = PyObject_GetAttr(it->thread, LAST_NUMBER);
    PyObject *owners = PyObject_GetAttr(it->thread, OWNERS);
    PyObject *number = next ? PyLong_FromLongLong(PyLong_AsLongLong(next) - 1) : NULL;
    int writes = is_true(it->op, WRITES), done = it->seq && last && owners && number && writes >= 0;
    if (done && equal(number, last) != 1)
        done = PyObject_SetAttr(it->thread, LAST_NUMBER, number) == 0 &&
               (PyDict_GetItemWithError(owners, number) || PyDict_SetItem(owners, number, it->seq) == 0);
    if (done && writes) done = note_writes(it, owners, number);
    Py_XDECREF(next);
    Py_XDECREF(last);
    Py_XDECREF(owners);
    Py_XDECREF(number);
    return done;
}

static PyObject *opened(Opening *it) {
    PyObject *step = PyObject_GetAttr(it->held[SINK], RUNNING_STEP), *record = PyTuple_New(ENDED);
    PyObject *fields[] = {it->seq,     step,        it->op,   it->phase, it->place,  it->path, it->traces,
                          it->statics, it->forward, it->name, it->leaf,  it->ident};
    for (int i = 0; record && i < BEGAN; i++) PyTuple_SetItem(record, i, kept(fields[i] ? fields[i] : Py_None));
    Py_XDECREF(step);
    PyObject *began = PyObject_CallNoArgs(it->held[CLOCK]);
    if (record && began) PyTuple_SetItem(record, BEGAN, began);
    else Py_CLEAR(record);
    return untracked(record);
}

/* open(recorder, op, args, kwargs, frame) -> the record's first part, or None where Python is to do it. */
static PyObject *clerk_open(Clerk *self, PyObject *const *args, Py_ssize_t nargs) {
    if (nargs != 5) return raise_type("open(recorder, op, args, kwargs, frame)"), NULL;
    Opening it = {.held = self->held, .recorder = args[0], .op = args[1], .args = args[2], .kwargs = args[3], .frame = args[4]};
    PyObject *record = NULL;
    if (is_usual(&it) && read_phase(&it) && find_path(&it) && take_arguments(&it) && take_number(&it)) {
        if (!it.name) it.name = kept(NO_TEXT);
        record = opened(&it);
    }
    forget(&it);
    return record ? record : ask_python();
}

/* ---- Closing a record: the trace of an op's result. ---- */

typedef struct {
    PyObject *record, *result, *made, *look, *quick;
} Closing;

static int same_number(PyObject *one, PyObject *other, PyObject *name) {
    PyObject *a = PyObject_GetAttr(one, name), *b = PyObject_GetAttr(other, name);
    int same = a && b && PyLong_AsLongLong(a) == PyLong_AsLongLong(b);
    Py_XDECREF(a);
    Py_XDECREF(b);
    return same;
}

/* The trace of a view: its memory was looked at when its base was made. */
static PyObject *trace_of_view(Closing *it, PyObject *source, PyObject *kind, int reinterprets) {
    PyObject *look = PyTuple_GetItem(source, T_LOOK), *named = PyTuple_GetItem(source, T_NAMED), *trace = NULL;
    PyObject *way = untracked(PyWeakref_NewRef(it->result, NULL)), *first = PyLong_FromLong(0);
    if (reinterprets) look = Py_None;
    if (look != Py_None && look != Py_True && !same_number(PyTuple_GetItem(source, T_KIND), kind, NUMEL)) look = Py_None;
    if (named != Py_None) {
        PyObject *origin = PyTuple_GetItem(named, 0);
        if (!equal(origin, PARAMETER) && !equal(origin, BUFFER)) named = Py_None;
    }
    if (way && first)
        trace = PyTuple_Pack(TRACE_FIELDS, way, PyTuple_GetItem(source, T_VERSION), PyTuple_GetItem(it->record, SEQ), first,
                             kind, look, named);
    Py_XDECREF(way);
    Py_XDECREF(first);
    return trace;
}

/* What looking at the result gives: the quick way, or where that has no answer the other. */
static PyObject *looked_at(Closing *it, PyObject *kind) {
    if (it->quick != Py_None) {
        PyObject *look = PyObject_CallFunctionObjArgs(it->quick, it->result, kind, NULL);
        if (look != Py_NotImplemented) return look;
        Py_DECREF(look);
    }
    return PyObject_CallFunctionObjArgs(it->look, it->result, kind, NULL);
}

static PyObject *trace_of_result(Closing *it, PyObject *kind, int writes, int unborn) {
    PyObject *counter = PyObject_GetAttr(it->result, VERSION), *version = NULL, *first = NULL, *way = NULL, *look = NULL;
    PyObject *trace = NULL, *named = NULL, *old = counter && writes ? known_of(it->result, it->made) : NULL;
    if (!counter || PyErr_Occurred()) {
        Py_XDECREF(counter);
        Py_XDECREF(old);
        return NULL;
    }
    way = old ? kept(PyTuple_GetItem(old, T_WAY)) : untracked(PyWeakref_NewRef(it->result, NULL));
    named = kept(old ? PyTuple_GetItem(old, T_NAMED) : Py_None);
    Py_XDECREF(old);
    look = it->look == Py_None || unborn ? (Py_INCREF(Py_None), Py_None) : looked_at(it, kind);
    version = PyLong_FromLongLong(PyLong_AsLongLong(counter) + writes); /* it rises after the node */
    first = PyLong_FromLong(0);
    if (way && look && version && first)
        trace = PyTuple_Pack(TRACE_FIELDS, way, version, PyTuple_GetItem(it->record, SEQ), first, kind, look, named);
    Py_DECREF(counter);
    Py_DECREF(named);
    Py_XDECREF(version);
    Py_XDECREF(first);
    Py_XDECREF(way);
    Py_XDECREF(look);
    return trace;
}

static PyObject *closed(Closing *it, PyObject *trace, PyObject *alias, PyObject *ended) {
    PyObject *key = PyLong_FromVoidPtr(it->result), *outputs = untracked(PyTuple_Pack(1, trace)), *whole = PyTuple_New(FIELDS);
    if (!key || !outputs || !whole || PyDict_SetItem(it->made, key, trace) < 0) Py_CLEAR(whole);
    PyObject *ends[] = {ended, outputs, alias, EXECUTED, EAGER};
    for (int i = 0; whole && i < FIELDS; i++)
        PyTuple_SetItem(whole, i, kept(i < ENDED ? PyTuple_GetItem(it->record, i) : ends[i - ENDED]));
    Py_XDECREF(key);
    Py_XDECREF(outputs);
    return untracked(whole);
}

/* The whole record; NULL where it is to be closed in Python. */
static PyObject *whole_record(Clerk *self, PyObject *op, Closing *it) {
    int views = is_true(op, VIEWS), writes = is_true(op, WRITES), unborn = is_true(op, UNBORN);
    PyObject *ended = PyObject_CallNoArgs(self->held[CLOCK]), *kind = ended ? kind_in(self->held[KINDS], it->result) : NULL;
    PyObject *source = NULL, *trace = NULL, *whole = NULL;
    int reinterprets = views > 0 ? is_true(op, REINTERPRETS) : 0;
    if (views >= 0 && reinterprets >= 0 && writes >= 0 && unborn >= 0 && kind) {
        if (views) source = PyList_GetItem(PyTuple_GetItem(it->record, TRACES), 0);
        if (!views) trace = untracked(trace_of_result(it, kind, writes, unborn));
        else if (source) trace = untracked(trace_of_view(it, source, kind, reinterprets));
    }
    if (trace) whole = closed(it, trace, source ? PyTuple_GetItem(source, T_SEQ) : Py_None, ended);
    Py_XDECREF(ended);
    Py_XDECREF(kind);
    Py_XDECREF(trace);
    return whole;
}

/* close(op, record, result) -> how many records wait now, or None where Python is to do it. */
static PyObject *clerk_close(Clerk *self, PyObject *const *args, Py_ssize_t nargs) {
    if (nargs != 3 || !PyTuple_Check(args[1]) || PyTuple_Size(args[1]) != ENDED)
        return raise_type("close(op, record, result)"), NULL;
    PyObject **held = self->held;
    if (!PyObject_TypeCheck(args[2], (PyTypeObject *)held[TENSOR]) || PyList_Size(held[WATCHERS])) return ask_python();
    Closing it = {args[1], args[2], held[MADE], held[LOOK], held[QUICK]};
    PyObject *whole = whole_record(self, args[0], &it);
    PyObject *done = whole ? PyObject_CallFunctionObjArgs(held[APPEND], whole, NULL) : NULL;
    Py_XDECREF(whole);
    if (!done) return ask_python(); /* an inference tensor has no version counter */
    Py_DECREF(done);
    return PyLong_FromSsize_t(PyObject_Size(held[RAWS]));
}

/* ---- The type. ---- */

static PyObject *clerk_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    if (PyTuple_Size(args) != HELD || (kwargs && PyDict_Size(kwargs))) return raise_type("Clerk takes what it holds"), NULL;
    Clerk *self = (Clerk *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    for (int i = 0; self && i < HELD; i++) self->held[i] = kept(PyTuple_GetItem(args, i));
    return (PyObject *)self;
}

static int clerk_traverse(Clerk *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE((PyObject *)self));
    for (int i = 0; i < HELD; i++) Py_VISIT(self->held[i]);
    return 0;
}

static int clerk_clear(Clerk *self) {
    for (int i = 0; i < HELD; i++) Py_CLEAR(self->held[i]);
    return 0;
}

static PyMethodDef CLERK_METHODS[] = {
    {"open", (PyCFunction)(void (*)(void))clerk_open, METH_FASTCALL,
     "open(recorder, op, args, kwargs, frame) -> the record's first part, or None where Python is to do it."},
    {"close", (PyCFunction)(void (*)(void))clerk_close, METH_FASTCALL,
     "close(op, record, result) -> how many records wait now, or None where Python is to do it."},
    {NULL, NULL, 0, NULL}};
static PyType_Slot CLERK_SLOTS[] = {{Py_tp_new, clerk_new},           {Py_tp_dealloc, freed},
                                    {Py_tp_traverse, clerk_traverse}, {Py_tp_clear, clerk_clear},
                                    {Py_tp_methods, CLERK_METHODS},   {0, NULL}};
PyType_Spec CLERK = {"graphdebug.backends.torch._record.Clerk", sizeof(Clerk), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
                     CLERK_SLOTS};
