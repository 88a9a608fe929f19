/**
 * What a shell runs to complete command lines of this program. Each hands the line over and shows the answer: the first
 * line says which paths fit too (`none`, `files`, `folders`), each other one is a value, a tab, and what it is. Nothing
 * of the line or the answer is ever evaluated: names come from other people.
 */

export const SHELLS = ['bash', 'zsh', 'fish'] as const;

type ShellName = (typeof SHELLS)[number];

const bash = `# netapp completion for bash. Load it with: source <(netapp completion bash)
_netapp() {
  local line=$COMP_LINE mode value about LC_ALL_BEFORE=\${LC_ALL-}
  # The cursor is counted in bytes.
  local LC_ALL=C
  line=\${line:0:COMP_POINT}
  LC_ALL=$LC_ALL_BEFORE
  COMPREPLY=()
  {
    IFS= read -r mode
    while IFS=$'\\t' read -r value about; do
      # Listed, each says what it is; what is put into the line is the value alone.
      if [[ $COMP_TYPE == 63 && -n $about ]]; then value="$value  ($about)"; fi
      COMPREPLY+=("$value")
    done
  } < <(COMP_WORDBREAKS=$COMP_WORDBREAKS "\${1/#\\~/$HOME}" completion bash -- "$line" 2>/dev/null)
  case $mode in
    files) compopt -o default 2>/dev/null ;;
    folders) compopt -o dirnames 2>/dev/null ;;
  esac
  # An option's value, and the beginning of a list, go on in the same word.
  if [[ \${#COMPREPLY[@]} == 1 && \${COMPREPLY[0]} == *= ]]; then compopt -o nospace 2>/dev/null; fi
}
complete -o nosort -F _netapp netapp 2>/dev/null || complete -F _netapp netapp
`;

const zsh = `#compdef netapp
# netapp completion for zsh. Load it, after compinit, with: source <(netapp completion zsh)
_netapp() {
  local -a answer values shows
  local line value about program=\${(Q)words[1]/#\\~/$HOME}
  answer=("\${(@f)$($program completion zsh -- "\${(@Q)words[2,CURRENT-1]}" "$PREFIX" 2>/dev/null)}")
  for line in "\${(@)answer[2,-1]}"; do
    value=\${line%%$'\\t'*}
    about=\${line#*$'\\t'}
    values+=("$value")
    shows+=("$value\${about:+  ($about)}")
  done
  (( $#values )) && compadd -l -d shows -a -- values
  case $answer[1] in
    files) _files ;;
    folders) _files -/ ;;
  esac
}
compdef _netapp netapp
`;

const fish = `# netapp completion for fish. Load it with: netapp completion fish | source
function __netapp_complete
    set -l words (commandline -opc)
    set -l answer ($words[1] completion fish -- $words[2..-1] (commandline -ct) 2>/dev/null)
    printf '%s\\n' $answer[2..-1]
    switch "$answer[1]"
        case files
            __fish_complete_path (commandline -ct)
        case folders
            __fish_complete_directories (commandline -ct)
    end
end
complete -c netapp -f -a '(__netapp_complete)'
`;

const scripts: Record<ShellName, string> = { bash, zsh, fish };

export const scriptOf = (shell: ShellName): string => scripts[shell];
