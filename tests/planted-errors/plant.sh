# Read by `run` and `doors/run`, which set `here` and take the same arguments: a copy of the tree for errors to be planted in, its build, and the loop
# over all patches.
# They lie below target/planted-errors, so that a second run is faster.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=${CARGO_TARGET_DIR:-$root/target}/planted-errors
tree=$work/tree
patches=("$@")
if [ ${#patches[@]} -eq 0 ]; then
    patches=("$here"/*.patch)
else
    patches=("${patches[@]/#/$PWD/}")
fi

# What changed since the last copy, and nothing else, so that little is built again.
mkdir -p "$tree"
(cd "$root" && git ls-files -z --cached --others --exclude-standard) | (cd "$root" && while IFS= read -r -d '' file; do
    if [ -f "$file" ] && ! cmp -s "$file" "$tree/$file"; then
        mkdir -p "$tree/$(dirname "$file")" && cp "$file" "$tree/$file"
    fi
done)

export CARGO_TARGET_DIR=$work/build CARGO_PROFILE_DEV_OPT_LEVEL=0 CARGO_PROFILE_DEV_DEBUG=false CARGO_INCREMENTAL=1 RUST_BACKTRACE=0
# The copy lies inside the work tree, and is none.
export GIT_CEILING_DIRECTORIES=$work
cd "$tree"

# Plants one patch after the other. `build_it` builds what is planted; `judge NAME PATCH` prints what became of it, and fails if the error was not found as
# it should be. Returns 1 if one of them failed or a patch does not apply.
plant_each() {
    local patch name bad=0
    for patch in "${patches[@]}"; do
        name=$(basename "$patch" .patch)
        if ! git apply --check "$patch" 2>"$work/log"; then
            echo "DOES NOT APPLY  $name"
            bad=1
            continue
        fi
        git apply "$patch"
        if ! build_it; then
            echo "DOES NOT BUILD  $name"
            bad=1
        elif ! judge "$name" "$patch"; then
            bad=1
        fi
        git apply -R "$patch"
    done
    return $bad
}
