# The databases of the page, sourced by readme.sh: of this host's packages, under the names of their official images, as compose would start them.
# MongoDB and EMQX, which no package has, are the tests' strict stand-ins.

stand_ins=$PWD/tests/Backup.Tests/Databases/StandIns

service() { # IMAGE PROJECT SERVICE VOLUME PATH SCRIPT [OPTION of docker run]…
  local image=readme/$1 project=$2 service=$3 volume=$4 path=$5 script=$6
  shift 6
  head -c 1024 /dev/zero | docker import - "$image" >/dev/null
  docker volume create "$volume" >/dev/null
  docker run -d --name "$project-$service-1" --network none "${binds[@]}" -v "$volume:$path" \
    --label com.docker.compose.project="$project" --label com.docker.compose.service="$service" "$@" "$image" /bin/sh -ec "mkdir -p /tmp /run /var/run; chmod 1777 /tmp; $script" >/dev/null
}
in_service() { docker exec "$1" /bin/sh -ec "$2"; }
ready() { # CONTAINER COMMAND
  local i
  for i in $(seq 300); do in_service "$1" "$2" >/dev/null 2>&1 && return; sleep 0.2; done
  docker logs --tail 20 "$1" >&2
  return 1
}
as() { echo "exec setpriv --reuid=$1 --regid=$1 --init-groups"; }

maria='MYSQL_PWD=$MARIADB_ROOT_PASSWORD mariadb -uroot -N'
start_databases() {
  mkdir -p "$programs/mongod" "$programs/emqx"
  echo secret >"$programs/password"
  service mariadb:10.11 erp db erp_mariadb /var/lib/mysql '
    mkdir -p /run/mysqld; ln -sfn /run/mysqld /var/run/mysqld; chown mysql /run/mysqld /var/lib/mysql
    if [ ! -d /var/lib/mysql/mysql ]; then
      mariadb-install-db --no-defaults --user=mysql --datadir=/var/lib/mysql --auth-root-authentication-method=normal --skip-test-db >/dev/null
      # One statement a line.
      printf "alter user root@localhost identified by \"%s\";\ncreate user backup@localhost identified by \"secret\";\ngrant all privileges on *.* to backup@localhost;\n" \
        "$MARIADB_ROOT_PASSWORD" >/tmp/init.sql
      init=--init-file=/tmp/init.sql
    fi
    exec mariadbd --no-defaults --user=mysql --datadir=/var/lib/mysql --socket=/run/mysqld/mysqld.sock --skip-networking ${init-}' \
    -e MARIADB_ROOT_PASSWORD=rootsecret -v "$programs/password:/run/secrets/backup:ro"
  service redis:7 shop cache shop_cache /data "chown -R redis /data; cd /data; $(as redis) redis-server --dir /data --save ''"
  service mongo:7 chat mongo chat_mongo /data/db 'mkdir -p /opt/mongodb; for name in mongod mongosh mongodump mongorestore; do ln -sfn /opt/stand-ins/mongo.js /opt/mongodb/$name; done; exec mongod' \
    -e PATH=/opt/mongodb:/usr/bin:/bin -e MONGO_INITDB_ROOT_USERNAME=root -e MONGO_INITDB_ROOT_PASSWORD=secret -e WRITES=no \
    -v "$stand_ins:/opt/stand-ins:ro" -v "$programs/mongod:/srv/mongod"
  service emqx:5.8 iot emqx iot_emqx /opt/emqx/data 'exec emqx foreground' -e PATH=/opt/stand-ins:/usr/bin:/bin -v "$stand_ins:/opt/stand-ins:ro" -v "$programs/emqx:/srv/emqx"
  service eclipse-mosquitto:2 iot mosquitto iot_mosquitto /mosquitto/data '
    mkdir -p /mosquitto/config; chown -R mosquitto /mosquitto/data
    printf "listener 1883 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location /mosquitto/data/\nuser mosquitto\n" >/mosquitto/config/mosquitto.conf
    exec mosquitto -c /mosquitto/config/mosquitto.conf'
  service notes:1 notes app notes_data /data 'trap "exit 0" TERM; while :; do sleep 0.2; done'
  service nginx:1 site web site_html /srv/html 'trap "exit 0" TERM; while :; do sleep 0.2; done'
  ready erp-db-1 "$maria -e 'select 1'"
  ready shop-cache-1 'redis-cli ping | grep -q PONG'
  ready chat-mongo-1 'test -s /srv/mongod/state.json'
  ready iot-emqx-1 'emqx ctl status'
  ready iot-mosquitto-1 'mosquitto_pub -h 127.0.0.1 -t ready -m 1'

  in_service erp-db-1 "$maria -e 'create database erp; use erp; create table parts as select seq n from seq_1_to_1000'"
  in_service shop-cache-1 'redis-cli set answer 42'
  in_service chat-mongo-1 'mkdir -p /data/db/chat; echo "{\"_id\":1,\"text\":\"hello\"}" >/data/db/chat/messages'
  in_service iot-emqx-1 'echo kept >/opt/emqx/data/mnesia/emqx_retainer'
  in_service iot-mosquitto-1 'mosquitto_pub -h 127.0.0.1 -r -t kept -m value'
  in_service notes-app-1 'sqlite3 /data/notes.db "create table notes as select 1 as n"'
  in_service site-web-1 'echo "<p>hello" >/srv/html/index.html'
}

# So that only a restore can bring them back.
spoil_databases() {
  in_service erp-db-1 "$maria -e 'delete from erp.parts'"
  in_service shop-cache-1 'redis-cli set answer 0'
  in_service chat-mongo-1 'rm /data/db/chat/messages'
  in_service iot-emqx-1 'echo lost >/opt/emqx/data/mnesia/emqx_retainer'
  in_service iot-mosquitto-1 'mosquitto_pub -h 127.0.0.1 -r -t kept -m lost'
  in_service notes-app-1 'sqlite3 /data/notes.db "delete from notes"'
}

check_databases() {
  is() { [ "$2" = "$3" ] || { echo "$1: '$2' was restored, and not '$3'" >&2; exit 1; }; }
  ready shop-cache-1 'redis-cli ping | grep -q PONG'
  ready iot-mosquitto-1 'mosquitto_pub -h 127.0.0.1 -t ready -m 1'
  is MariaDB "$(in_service erp-db-1 "$maria -e 'select count(*) from erp.parts'")" 1000
  is Redis "$(in_service shop-cache-1 'redis-cli get answer')" 42
  is MongoDB "$(in_service chat-mongo-1 'cat /data/db/chat/messages')" '{"_id":1,"text":"hello"}'
  is EMQX "$(in_service iot-emqx-1 'cat /opt/emqx/data/mnesia/emqx_retainer')" kept
  is Mosquitto "$(in_service iot-mosquitto-1 'mosquitto_sub -h 127.0.0.1 -t kept -C 1 -W 20')" value
  is SQLite "$(in_service notes-app-1 'sqlite3 /data/notes.db "select n from notes"')" 1
  is Nginx "$(cat /tmp/site/index.html)" '<p>hello'
}

remove_databases() {
  docker rm -f erp-db-1 shop-cache-1 chat-mongo-1 iot-emqx-1 iot-mosquitto-1 notes-app-1 site-web-1 >/dev/null 2>&1 || true
  docker volume rm -f erp_mariadb erp_mariadb_copy shop_cache chat_mongo iot_emqx iot_mosquitto notes_data site_html >/dev/null 2>&1 || true
  docker rmi -f readme/mariadb:10.11 readme/redis:7 readme/mongo:7 readme/emqx:5.8 readme/eclipse-mosquitto:2 readme/notes:1 readme/nginx:1 >/dev/null 2>&1 || true
  rm -rf /tmp/site
}
