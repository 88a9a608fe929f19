/** What was dropped: files, and those in folders, however deep. */

export async function filesOf(dropped: DataTransfer): Promise<File[]> {
  // The list empties itself as soon as the event is over: its entries are taken first.
  const entries = [...dropped.items].flatMap((item) => item.webkitGetAsEntry() ?? []);
  const loose = [...dropped.files];
  if (entries.length === 0) return loose;
  const files = await Promise.all(entries.map((entry) => filesIn(entry)));
  return files.flat();
}

async function filesIn(entry: FileSystemEntry): Promise<File[]> {
  if (isFile(entry)) return [await new Promise<File>((resolve, reject) => entry.file(resolve, reject))];
  if (!isFolder(entry)) return [];
  const reader = entry.createReader();
  const files: File[] = [];
  for (;;) {
    // It gives a hundred at a time, and none at the end.
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return files;
    for (const each of some) files.push(...(await filesIn(each)));
  }
}

const isFile = (entry: FileSystemEntry): entry is FileSystemFileEntry => entry.isFile;
const isFolder = (entry: FileSystemEntry): entry is FileSystemDirectoryEntry => entry.isDirectory;
