#!/bin/sh
# A bot in shell, as one stage of a pipeline: it answers "!roll 2d6", to people and in rooms. It needs jq.
#   netapp events --match message.received | examples/bot.sh | netapp pipe
set -u
jq --unbuffered -r 'select(.type == "message.received") | .data | [.id, .text | gsub("\\s+"; " ")] | @tsv' |
  while IFS="$(printf '\t')" read -r id text; do
    case $text in
      '!roll '[1-9]d[1-9] | '!roll '[1-9]d[1-9][0-9]) ;;
      *) continue ;;
    esac
    dice=${text#!roll }
    count=${dice%d*} sides=${dice#*d} sum=0 shown=''
    while [ "$count" -gt 0 ]; do
      one=$(($(od -An -N2 -tu2 /dev/urandom) % sides + 1))
      sum=$((sum + one)) shown="$shown${shown:+ + }$one" count=$((count - 1))
    done
    jq -nc --arg id "$id" --arg text "$shown = $sum" '{op: "messages.reply", input: {$id, $text}, $id}'
  done
