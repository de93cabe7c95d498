# A client in a container is killed, and its container is gone before the tracer ends. Where it is must be $read before that
# in /proc: what is told of an event is read then.
begin /tmp/killed --events
mkdir -p $inside
serve 7001
tail -f /dev/null | sh -c "echo \$\$ >$inside/$list; exec nc 127.0.0.1 7001" &
client=$!
until_ok connected 7001
[ -z "$read" ] || until_ok grep -q '"new_state":"ESTABLISHED"' /tmp/killed
kill -9 $client
until_ok rmdir $inside
end $watch
grep '"pattern":"process_died"' /tmp/killed | grep "\"process\":{\"pid\":$client," || { cat /tmp/killed /tmp/killed.said; exit 1; }
