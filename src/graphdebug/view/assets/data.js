"use strict";
// The node table, held by columns; a row becomes an object only when it is looked at.

class Nodes {
  constructor(columns) {
    this.count = columns.count;
    this.said = columns.said;
    this.columns = columns;
    this.bySeq = new Map(columns.numbers.seq.map((seq, index) => [seq, index]));
    this.searchable = null;
    this.users = null;
  }

  get(index, name) {
    const numbers = this.columns.numbers[name];
    if (numbers) return numbers[index];
    const [texts, codes] = this.columns.texts[name];
    return texts[codes[index]];
  }

  producers(index) { return this.columns.producers[index]; }

  consumers(seq) {
    if (!this.users) {
      this.users = new Map();
      this.columns.producers.forEach((made, index) => {
        for (const one of made) {
          if (!this.users.has(one)) this.users.set(one, []);
          this.users.get(one).push(index);
        }
      });
    }
    return this.users.get(seq) || [];
  }

  words(index) {
    return `#${this.get(index, "seq")} ${this.get(index, "function")} ${this.get(index, "line")} ${this.get(index, "shapes_out")}`;
  }

  // Indices of the rows that hold every word of the query in any text column; `name:word` asks one column.
  search(query) {
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) return Array.from({ length: this.count }, (_, index) => index);
    const tests = words.map((word) => this.test(word));
    const found = [];
    for (let index = 0; index < this.count; index++) {
      if (tests.every((test) => test(index))) found.push(index);
    }
    return found;
  }

  test(word) {
    const texts = this.columns.texts, numbers = this.columns.numbers;
    const [, column, wanted] = /^(\w+):(.+)$/.exec(word) || [];
    if (column && texts[column]) return this.testTexts([column], wanted);
    if (column && numbers[column]) return (index) => String(numbers[column][index]) === wanted;
    if (/^#\d+$/.test(word)) return (index) => numbers.seq[index] === Number(word.slice(1));
    return this.testTexts(Object.keys(texts), word);
  }

  // A text column holds few different texts: test each of them once.
  testTexts(names, word) {
    const hits = names.map((name) => {
      const [texts, codes] = this.columns.texts[name];
      return [texts.map((text) => text.toLowerCase().includes(word)), codes];
    });
    return (index) => hits.some(([hit, codes]) => hit[codes[index]]);
  }
}
