/** What was dropped: files, and folders with all that is in them, however deep. */

/** A folder has a name, and its files the paths that they have in it; a file that was dropped by itself has neither. */
export type Dropped = { folder: string | undefined; files: { file: File; path: string }[] };

export const loose = (file: File): Dropped => ({ folder: undefined, files: [{ file, path: file.name }] });

export async function filesOf(dropped: DataTransfer): Promise<Dropped[]> {
  // The list empties itself as soon as the event is over: its entries are taken first.
  const entries = [...dropped.items].flatMap((item) => item.webkitGetAsEntry() ?? []);
  const files = [...dropped.files];
  if (entries.length === 0) return files.map(loose);
  const all = await Promise.all(
    entries.map(async (entry) => ({
      folder: isFolder(entry) ? entry.name : undefined,
      files: isFolder(entry) ? await filesBelow(entry, '') : await filesIn(entry, ''),
    })),
  );
  return all.filter(({ files }) => files.length > 0);
}

async function filesIn(entry: FileSystemEntry, before: string): Promise<Dropped['files']> {
  const path = `${before}${entry.name}`;
  if (isFolder(entry)) return await filesBelow(entry, `${path}/`);
  if (!isFile(entry)) return [];
  return [{ file: await new Promise<File>((resolve, reject) => entry.file(resolve, reject)), path }];
}

async function filesBelow(folder: FileSystemDirectoryEntry, before: string): Promise<Dropped['files']> {
  const reader = folder.createReader();
  const files: Dropped['files'] = [];
  for (;;) {
    // It gives a hundred at a time, and none at the end.
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return files;
    for (const each of some) files.push(...(await filesIn(each, before)));
  }
}

const isFile = (entry: FileSystemEntry): entry is FileSystemFileEntry => entry.isFile;
const isFolder = (entry: FileSystemEntry): entry is FileSystemDirectoryEntry => entry.isDirectory;
