/** Figures of several runs, under the names that the table shows, in the order in which they first came. */
export class Columns {
  readonly all: Record<string, number[]> = {};

  note(name: string, value: number): void {
    this.all[name] = [...(this.all[name] ?? []), value];
  }
}
