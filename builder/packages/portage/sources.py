"""List the sources of every version of one package, whatever USE is; runs inside the SDK, prints JSON.

Standard input: {"repository": name, "package": "category/name"}. Standard output: the last line is
either {"versions": {"category/name-version": {file: [address, ...]}}} or {"error": explanation}.
"""

import json
import sys

import portage


def sources(repository, package):
    database = portage.db[portage.settings["EROOT"]]["porttree"].dbapi
    place = database.getRepositoryPath(repository)
    found = {}
    for cpv in database.cp_list(package, mytree=place):
        try:
            files = database.getFetchMap(cpv, mytree=place)
        except (portage.exception.PortageException, KeyError) as error:
            return {"error": f"{cpv}: {error}"}
        found[str(cpv)] = {name: list(addresses) for name, addresses in sorted(files.items())}
    return {"versions": found}


asked = json.load(sys.stdin)
print(json.dumps(sources(asked["repository"], asked["package"])))
