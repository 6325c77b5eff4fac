#compdef parse

autoload -U is-at-least

_parse() {
    typeset -A opt_args
    typeset -a _arguments_options
    local ret=1

    if is-at-least 5.2; then
        _arguments_options=(-s -S -C)
    else
        _arguments_options=(-s -C)
    fi

    local context curcontext="$curcontext" state line
    _arguments "${_arguments_options[@]}" : \
'--feedback=[Print the values of a feedback file as one JSON object (-\: standard input)]:FILE:_files' \
'--log=[Print a task log of the Proxmox API (JSON) as text (-\: standard input)]:FILE:_files' \
'--upid=[Print the fields of a UPID as one JSON object]:UPID:_default' \
'(--upid --log)--follow[Keep running and print a new object on each change]' \
'(--upid --log)--strict[List every ignored line with its number, and exit with 1 if there are any]' \
'-d[Report on standard error what is read and which lines are ignored]' \
'--debug[Report on standard error what is read and which lines are ignored]' \
'-h[Print help]' \
'--help[Print help]' \
'-V[Print version]' \
'--version[Print version]' \
&& ret=0
}

(( $+functions[_parse_commands] )) ||
_parse_commands() {
    local commands; commands=()
    _describe -t commands 'parse commands' commands "$@"
}

if [ "$funcstack[1]" = "_parse" ]; then
    _parse "$@"
else
    compdef _parse parse
fi
