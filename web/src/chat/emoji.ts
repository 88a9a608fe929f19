/** Emoji that people use most, each with the words by which it is found. */
export const EMOJI: readonly (readonly [emoji: string, words: string])[] = [
  ['👍', 'thumbs up yes good ok'],
  ['❤️', 'heart love red'],
  ['😂', 'joy laugh tears'],
  ['🎉', 'party tada congratulations'],
  ['😮', 'wow surprised open mouth'],
  ['😢', 'sad cry tear'],
  ['🙏', 'thanks please pray'],
  ['🔥', 'fire hot'],
  ['👀', 'eyes look'],
  ['✅', 'check done yes'],
  ['🚀', 'rocket ship launch'],
  ['💯', 'hundred perfect'],
  ['😀', 'grin smile happy'],
  ['😃', 'smiley happy'],
  ['😄', 'smile happy'],
  ['😁', 'beam grin'],
  ['😅', 'sweat relief'],
  ['🤣', 'rofl laugh floor'],
  ['🙂', 'slight smile'],
  ['🙃', 'upside down'],
  ['😉', 'wink'],
  ['😊', 'blush happy'],
  ['😍', 'heart eyes love'],
  ['🥰', 'hearts love'],
  ['😘', 'kiss'],
  ['😋', 'yum delicious'],
  ['😜', 'tongue wink'],
  ['🤪', 'zany crazy'],
  ['🤗', 'hug'],
  ['🤔', 'think hmm'],
  ['🤨', 'eyebrow doubt'],
  ['😐', 'neutral'],
  ['😑', 'expressionless'],
  ['🙄', 'eye roll'],
  ['😏', 'smirk'],
  ['😴', 'sleep zzz'],
  ['🤒', 'sick ill'],
  ['🤯', 'mind blown'],
  ['🥳', 'party face'],
  ['😎', 'cool sunglasses'],
  ['🤓', 'nerd'],
  ['😕', 'confused'],
  ['😟', 'worried'],
  ['😭', 'sob cry'],
  ['😤', 'huff'],
  ['😡', 'angry rage'],
  ['🤬', 'swear'],
  ['😱', 'scream shock'],
  ['😇', 'innocent angel'],
  ['🤝', 'handshake deal'],
  ['👎', 'thumbs down no bad'],
  ['👌', 'ok fine'],
  ['✌️', 'victory peace'],
  ['🤞', 'fingers crossed luck'],
  ['👋', 'wave hello bye'],
  ['💪', 'strong muscle'],
  ['👏', 'clap applause'],
  ['🙌', 'hooray hands'],
  ['🤷', 'shrug'],
  ['🤦', 'facepalm'],
  ['💙', 'blue heart'],
  ['💚', 'green heart'],
  ['💔', 'broken heart'],
  ['⭐', 'star'],
  ['✨', 'sparkles'],
  ['⚡', 'zap lightning'],
  ['☀️', 'sun'],
  ['🌧️', 'rain'],
  ['❄️', 'snow cold'],
  ['🍕', 'pizza'],
  ['🍺', 'beer'],
  ['☕', 'coffee'],
  ['🎂', 'cake birthday'],
  ['🍀', 'luck clover'],
  ['🐛', 'bug'],
  ['🐱', 'cat'],
  ['🐶', 'dog'],
  ['🎵', 'music note'],
  ['⚽', 'football soccer'],
  ['🏆', 'trophy win'],
  ['🚗', 'car'],
  ['✈️', 'plane travel'],
  ['🏠', 'house home'],
  ['💻', 'laptop computer'],
  ['📎', 'paperclip'],
  ['📅', 'calendar date'],
  ['📈', 'chart up'],
  ['💡', 'idea bulb'],
  ['🔒', 'lock'],
  ['🔑', 'key'],
  ['⏰', 'alarm clock'],
  ['⏳', 'wait hourglass'],
  ['❓', 'question'],
  ['❗', 'exclamation'],
  ['❌', 'cross no'],
  ['⚠️', 'warning'],
  ['➕', 'plus one'],
  ['🆗', 'ok button'],
];

type Emoji = (typeof EMOJI)[number];

/** Those with a word that begins so, and then those in whose words it stands; of `all`, or of those that people use most. */
export function emojiFor(words: string, all: readonly Emoji[] = EMOJI): Emoji[] {
  const wanted = words.toLowerCase().trim();
  const begins = ([, names]: Emoji): boolean => names.split(' ').some((name) => name.startsWith(wanted));
  return [
    ...all.filter(begins),
    ...all.filter((emoji) => !begins(emoji) && wanted.split(/\s+/).every((word) => emoji[1].includes(word))),
  ];
}

const RECENT_KEY = 'netapp.emoji';
const MOST_RECENT = 24;

/** Emoji that were used last in this browser, the newest first. */
export function recentEmoji(): string[] {
  return (localStorage.getItem(RECENT_KEY) ?? '').split(' ').filter((emoji) => emoji !== '');
}

export function usedEmoji(emoji: string): void {
  const all = [emoji, ...recentEmoji().filter((other) => other !== emoji)];
  localStorage.setItem(RECENT_KEY, all.slice(0, MOST_RECENT).join(' '));
}
