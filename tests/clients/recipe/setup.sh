#!/bin/bash
# Turns a plain Debian root into the clients' root. Runs once, inside the sandbox, as the
# user namespace's root, with the root writable at / and COT's wheels in /inputs.
set -euo pipefail
export LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin

# session daemons and Vagrant want to be somebody, and not root
echo 'user:x:1000:1000::/tmp/home:/bin/bash' >> /etc/passwd
echo 'user:x:1000:' >> /etc/group

site=$(python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
mkdir -p "${site}"
for wheel in /inputs/*.whl; do
	python3 -m zipfile -e "${wheel}" "${site}"
done
cat > /usr/local/bin/cot <<'EOF'
#!/usr/bin/python3
import setuptools  # it brings distutils, which COT uses
from COT.ui.cli import main

main()
EOF
chmod 0755 /usr/local/bin/cot

# the record of Debian's plugins is brought up to date at first use, which a read-only root refuses
HOME=/tmp vagrant plugin list >/dev/null
