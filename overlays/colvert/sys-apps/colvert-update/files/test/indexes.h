/* An index that is right, to be made wrong. */
#pragma once

#define HEX_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEX_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define WHOLE "{\"name\": \"" HEX_A ".zst\", \"size\": 100, \"sha256\": \"" HEX_A "\", \"from\": null}"
#define DELTA                                                                                                  \
	"{\"name\": \"" HEX_B ".zst\", \"size\": 10, \"sha256\": \"" HEX_B "\", \"from\": {\"version\": \"1.0\", "         \
	"\"root_hash\": \"" HEX_A "\", \"size\": 999, \"sha256\": \"" HEX_B "\"}}"
#define PART(files) "{\"size\": 1000, \"sha256\": \"" HEX_B "\", \"files\": [" files "]}"
#define PARTS_INNER "\"usr\": " PART(WHOLE ", " DELTA) ", \"verity\": " PART(WHOLE) ", \"uki\": " PART(WHOLE)
#define PARTS_TEXT "\"parts\": {" PARTS_INNER "}"
#define HEAD                                                                                                   \
	"\"image_id\": \"colvert\", \"architecture\": \"x86_64\", \"channel\": \"stable\", \"version\": \"1.2.3\", "       \
	"\"from_at_least\": \"1.0\", \"created\": 1700000000, \"expires\": 1800000000, \"root_hash\": \"" HEX_A "\", "
#define INDEX "{\"format\": 1, " HEAD PARTS_TEXT "}"
