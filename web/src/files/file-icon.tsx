import { File, FileArchive, FileAudio, FileCode, FileImage, FileText, FileVideo, Folder } from 'lucide-react';

const KINDS: readonly (readonly [RegExp, typeof File])[] = [
  [/\.(png|jpe?g|gif|webp|avif|svg|heic|bmp|tiff?)$/i, FileImage],
  [/\.(mp4|mkv|webm|mov|avi|m4v)$/i, FileVideo],
  [/\.(mp3|flac|wav|ogg|opus|m4a|aac)$/i, FileAudio],
  [/\.(zip|gz|xz|zst|bz2|tar|7z|rar|iso|deb|rpm)$/i, FileArchive],
  [/\.(ts|tsx|js|py|c|h|cpp|rs|go|java|sh|html|css|json|ya?ml|toml)$/i, FileCode],
  [/\.(pdf|docx?|odt|md|txt|rtf|tex|csv|xlsx?|pptx?)$/i, FileText],
];

export function FileIcon({ name, folder = false, size = 24 }: { name: string; folder?: boolean; size?: number }) {
  const Icon = folder ? Folder : (KINDS.find(([pattern]) => pattern.test(name))?.[1] ?? File);
  return <Icon size={size} strokeWidth={1.7} aria-hidden="true" />;
}
