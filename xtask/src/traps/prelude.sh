# Says that this cannot be tried here.
skip() { echo "@skip $*"; exit 0; }
# Waits until a command succeeds.
until_ok() { until "$@" >/dev/null 2>&1; do usleep 20000; done; }
# Watches in the background, and returns when all is attached: begin FILE FLAGS. Its number is in $watch then.
begin() {
    file=$1; shift; rm -f "$file.ready"
    tcptrace watch --json --ready-file "$file.ready" "$@" >"$file" 2>"$file.said" &
    watch=$!
    until [ -e "$file.ready" ]; do
        kill -0 $watch 2>/dev/null || { cat "$file.said"; exit 1; }
        usleep 20000
    done
}
# Ends it: end NUMBER.
end() { kill -INT $1; wait $1; }
# Refuses a connection.
refuse() { nc 127.0.0.1 9 2>/dev/null; true; }
# Serves one connection at a port, and never reads the end of its input.
serve() {
    { tail -f /dev/null | nc -l -p $1 >/dev/null; } &
    until_ok sh -c "netstat -tln | grep -q ':$1 '"
}
# Whether a connection to a port is established.
connected() { netstat -tn | grep -q ":$1 *ESTABLISHED"; }
# How often a pattern is told in a file.
told() { grep -c "\"pattern\":\"$2\"" $1; }
# The links of a process to programs at events by their perf descriptors.
links() { cat /proc/$1/fdinfo/* 2>/dev/null | grep -c '^link_type:.*perf'; }
